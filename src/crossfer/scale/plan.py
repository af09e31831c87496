"""The plan: every entry of the input in its order, cut into shards, written once before the work starts.

``plan/00000.parquet`` and on hold the entries, a row group a shard. Where a shard ends depends on nothing but
the entries' numbers: the first shards are small, so that rows appear and all cores have work at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile, ParquetWriter, read_table, write_table

from crossfer.scale.entries import SCHEMA, Entry, entry_name, from_table, to_table
from crossfer.scale.faults import ScoreError

FIRST_SHARD = 32  # entries; doubled after each SAME_SIZE shards up to what was asked for
SAME_SIZE = 8
SHARDS_A_FILE = 1024
DUPLICATES = "duplicates.parquet"
_DIGEST = 16
_TELL_EACH = 10_000


@dataclass(frozen=True)
class Shard:
    """A part of the plan.

    Attributes:
        number: from 0.
        first: number of its first entry.
        entries: a table with the columns of ``entries.SCHEMA``.
        copies: ``(entry, original)`` numbers of those that were named before.
    """

    number: int
    first: int
    entries: pa.Table
    copies: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return self.entries.num_rows

    def halves(self) -> tuple[Shard, Shard]:
        """The shard in two parts, both under its number."""
        middle = len(self) // 2
        return (
            replace(self, entries=self.entries.slice(0, middle)),
            replace(self, entries=self.entries.slice(middle), first=self.first + middle),
        )


@dataclass(frozen=True)
class Extent:
    """What a plan holds.

    Attributes:
        entries: images, where a tar that is streamed counts as one.
        shards: how many.
        copies: entries that were named before.
        sha256: of all entries, hexadecimal.
    """

    entries: int
    shards: int
    copies: int
    sha256: str


def shard_length(number: int, longest: int) -> int:
    """Most entries in a shard.

    >>> [shard_length(number, 100) for number in (0, 7, 8, 16, 999)]
    [32, 32, 64, 100, 100]
    """
    return min(longest, FIRST_SHARD << min(number // SAME_SIZE, 40))


def cut(entries: Iterable[Entry], longest: int) -> Iterator[list[Entry]]:
    """The shards of some entries; a stream is one of its own."""
    number, gathered = 0, list[Entry]()
    for entry in entries:
        alone = entry.kind == "stream"
        if gathered and (alone or len(gathered) == shard_length(number, longest)):
            yield gathered
            number, gathered = number + 1, []
        gathered.append(entry)
        if alone:
            yield gathered
            number, gathered = number + 1, []
    if gathered:
        yield gathered


def write_plan(
    folder: Path, entries: Iterable[Entry], longest: int, tell: Callable[[int], None] = lambda _: None
) -> Extent:
    """Writes the plan of some entries; 16 bytes an entry are held in memory, to find those named twice.

    Args:
        folder: where; it is there and empty.
        entries: the listing.
        longest: most entries in a shard.
        tell: is told how many entries are written, now and then.
    """
    digest, marks = hashlib.sha256(), bytearray()
    shards = count = told = 0
    with _Files(folder) as files:
        for shard in cut(entries, longest):
            files.add(shard)
            for entry in shard:
                digest.update(repr(tuple(entry)).encode())
                marks += _mark(entry)
            shards, count = shards + 1, count + len(shard)
            if count - told >= _TELL_EACH:
                tell(told := count)
    copies = _copies(marks)
    write_table(pa.table({"entry": copies[:, 0], "original": copies[:, 1]}), folder / DUPLICATES)
    return Extent(count, shards, len(copies), digest.hexdigest())


class _Files(AbstractContextManager["_Files"]):
    """The files of a plan as they are written, each with so many shards."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._shards = folder, 0
        self._open = ExitStack()
        self._writer: ParquetWriter

    def add(self, shard: list[Entry]) -> None:
        if self._shards % SHARDS_A_FILE == 0:
            self._open.close()
            path = self._folder / f"{self._shards // SHARDS_A_FILE:05}.parquet"
            self._writer = self._open.enter_context(
                ParquetWriter(path, SCHEMA, compression="zstd", write_statistics=False)
            )
        self._writer.write_table(to_table(shard), row_group_size=len(shard))
        self._shards += 1

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _mark(entry: Entry) -> bytes:
    """What two entries share if they stand for the same image; a name may occur twice in an archive."""
    member = entry.member if entry.kind != "fault" else (entry.detail or "").encode()
    return hashlib.blake2b(b"%r\0%r\0%r" % (entry.path, member, entry.place), digest_size=_DIGEST).digest()


def _copies(marks: bytearray) -> np.ndarray:
    """Pairs (entry, first entry with the same mark), sorted, int64, shape (N, 2)."""
    values = np.frombuffer(marks, f"S{_DIGEST}")
    order = np.argsort(values, kind="stable")
    starts = np.ones(len(values), bool)
    starts[1:] = values[order[1:]] != values[order[:-1]]
    if starts.all():
        return np.empty((0, 2), np.int64)
    originals = order[np.maximum.accumulate(np.where(starts, np.arange(len(values)), 0))]
    pairs = np.stack([order, originals], axis=1)[~starts].astype(np.int64)
    return pairs[np.argsort(pairs[:, 0])]


class Plan:
    """A plan that was written.

    Args:
        folder: where it lies.

    Raises:
        ScoreError: if files are missing or damaged; every method that reads them raises it too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._whole():
            table = read_table(folder / DUPLICATES)
        self._copies = np.stack([table["entry"].to_numpy(), table["original"].to_numpy()], axis=1)

    def shards(self, skip: Callable[[int], bool] = lambda _: False) -> Iterator[Shard]:
        """The shards in order, without those to skip; one at a time is in memory."""
        first = 0
        for number, (file, group, length) in enumerate(self._groups()):
            if not skip(number):
                with self._whole():
                    entries = file.read_row_group(group)
                yield self._shard(number, first, entries)
            first += length

    def lengths(self) -> list[int]:
        """How many entries each shard has; no entry is read."""
        return [length for _, _, length in self._groups()]

    def _groups(self) -> Iterator[tuple[ParquetFile, int, int]]:
        """Where each shard lies, in order: the file, its group of rows there, and how many these are."""
        for path in sorted(self._folder.glob("[0-9]*.parquet")):
            with self._whole():
                file = ParquetFile(path)
            with file:
                for group in range(file.num_row_groups):
                    yield file, group, file.metadata.row_group(group).num_rows

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Reading of our own files, which nobody else should have touched."""
        try:
            yield
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, how: str) -> ScoreError:
        return ScoreError(
            f"{self._folder}: expected the plan of this run, found it damaged ({how}); "
            "score into another folder"
        )

    def _shard(self, number: int, first: int, entries: pa.Table) -> Shard:
        low, high = np.searchsorted(self._copies[:, 0], (first, first + entries.num_rows))
        pairs = self._copies[low:high].tolist()
        return Shard(number, first, entries, tuple((entry, original) for entry, original in pairs))

    def check(
        self, entries: Iterable[Entry], shards: int, tell: Callable[[int], None] = lambda _: None
    ) -> None:
        """Compares the input as it is now with the plan, which has so many shards if it is whole.

        Raises:
            ScoreError: if they differ; the message names the first difference.
        """
        if (found := len(self.lengths())) != shards:
            raise self._damaged(f"{found} shards instead of {shards}")
        listed, number = iter(entries), 0
        for shard in self.shards():
            for planned in from_table(shard.entries):
                if planned != (now := next(listed, None)):
                    raise ScoreError(_difference(number, planned, now))
                number += 1
                if number % _TELL_EACH == 0:
                    tell(number)
        if (more := next(listed, None)) is not None:
            raise ScoreError(_difference(number, None, more))


def _difference(number: int, planned: Entry | None, now: Entry | None) -> str:
    start = f"the input has changed since it was listed: image {number:,} "
    names = [None if e is None else entry_name(e.path, e.member) for e in (planned, now)]
    if planned is None or now is None or names[0] != names[1]:
        what = f"was {names[0] or 'not there'} and is {names[1] or 'gone'}"
    elif planned.path != now.path:
        what = f"({names[0]}) was named with another user or password"
    elif planned.size != now.size:
        what = f"({names[0]}) had {planned.size} bytes and has {now.size}"
    else:
        what = f"({names[0]}) was changed"
    return f"{start}{what}; score the new input into another folder"

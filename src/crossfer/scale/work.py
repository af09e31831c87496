"""The work, the same under every engine: a shard goes in, a Parquet file comes out, nothing else happens."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import read_table, write_table

from crossfer import __version__
from crossfer.images.cost import check_cost
from crossfer.images.read import ImageError, decode
from crossfer.runtime.recognizer import FoundFaces, Recognizer
from crossfer.scale.entries import Entry, entry_name, from_table
from crossfer.scale.faults import Fault, InputGoneError, ScoreError
from crossfer.scale.names import is_address, shown
from crossfer.scale.plan import Shard
from crossfer.scale.reading import Image, Reader
from crossfer.scale.rows import Rows, Tally
from crossfer.scale.storage import open_file, reason

FACES_AT_ONCE = 256  # from several images; they go through the model together
ALL_LOST = 8  # that many listed images, and no other, that cannot be read: the input is gone
BLANK = np.zeros((32, 32, 3), np.uint8)
STAGES: tuple[str, ...] = ("read", "decode", "detect", "classify", "write")


@dataclass(frozen=True)
class Setup:
    """All that a worker needs to know; it can be sent to another machine.

    Attributes:
        model: content of the bundle.
        sha256: of that.
        labels: its expressions in class order.
        settings: of the ``Recognizer``, by name.
        folders: inputs that are folders on this machine; where one has vanished, the work stops.
        version: of crossfer, which must be the same everywhere.
    """

    model: bytes = field(repr=False)
    sha256: str
    labels: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[bytes, ...] = ()
    version: str = __version__

    def recognizer(self) -> Recognizer:
        """The recogniser, on one thread, with its detector loaded.

        Raises:
            ScoreError: if this machine cannot load the model or the detector, as for want of memory.
        """
        try:
            recognizer = Recognizer(self.model, threads=1, **self.settings)
            recognizer.find(BLANK)  # no image is to blame where the detector cannot be loaded
            return recognizer
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise not_started(f"it cannot load the model or the detector: {reason(error)}") from error


@dataclass(frozen=True)
class Scored:
    """What came of a shard.

    Attributes:
        shard: its number.
        part: the content of a Parquet file with its rows.
        rows: how many.
        tally: what they say.
        seconds: by stage, of one worker.
        peak: most memory that the worker ever held, in bytes; 0 where the system does not tell.
    """

    shard: int
    part: bytes = field(repr=False)
    rows: int
    tally: Tally
    seconds: dict[str, float]
    peak: int

    def to_dict(self) -> dict[str, Any]:
        """All but the part, as plain values for JSON; the inverse is ``from_dict``."""
        return {
            "shard": self.shard,
            "rows": self.rows,
            "seconds": {stage: round(value, 6) for stage, value in self.seconds.items()},
            "peak": self.peak,
            "tally": self.tally.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], part: bytes) -> Scored:
        """The inverse of ``to_dict``, of values that were written as JSON, with the part beside them."""
        return cls(**{**values, "part": part, "tally": Tally.from_dict(values["tally"])})


# Shards, how, and by how many workers -> what came of each shard.
Engine = Callable[[Iterator[Shard], Setup, int], Generator[Scored]]


class Scorer:
    """A recogniser that works through shards, one after the other.

    Args:
        setup: what to do.

    Raises:
        ScoreError: if this machine has another version of crossfer, or cannot load the model.
    """

    def __init__(self, setup: Setup) -> None:
        if setup.version != __version__:
            raise ScoreError(
                f"expected crossfer {setup.version} on every machine, found {__version__} on "
                f"{platform.node()}; install the same"
            )
        warnings.filterwarnings("ignore", module="PIL")  # what matters of them comes back as an error
        self._setup = setup
        self._recognizer = setup.recognizer()
        self._reader = Reader()

    def score(self, shard: Shard) -> Scored:
        """The rows of a shard, which depend on nothing but the shard and the setup.

        Raises:
            InputGoneError: if the images that were listed are no longer there as a whole.
            BundleError: if the model's answers are not finite.
        """
        seconds = dict.fromkeys(STAGES, 0.0)
        rows = Rows(self._setup.labels, self._setup.sha256)
        _Pass(self._setup, self._recognizer, rows, seconds).run(self._images(shard, seconds))
        with _timed(seconds, "write"):
            part = to_parquet(rows.table())
        return Scored(shard.number, part, len(rows), rows.tally, seconds, _peak())

    def close(self) -> None:
        """Lets the archive go that was read last."""
        self._reader.close()

    def _images(self, shard: Shard, seconds: dict[str, float]) -> Iterator[Image]:
        copies = dict(shard.copies)
        entries = [
            _copy(entry, copies[number]) if number in copies else entry
            for number, entry in enumerate(from_table(shard.entries), start=shard.first)
        ]
        images = self._reader.images(entries, shard.first)
        while True:
            with _timed(seconds, "read"):
                image = next(images, None)
            if image is None:
                return
            yield image


def not_started(why: str, also: str = "") -> ScoreError:
    """What to say where a process cannot begin to work, for which no image is to blame.

    ``also`` follows the memory and the processes that it is to have.
    """
    return ScoreError(
        f"expected a process to work on {platform.node()}, found that {why}; give it memory and "
        f"processes{also}; no image is to blame, and what is done stays as it is; go on with the same "
        "command and --resume"
    )


def joined(first: Scored, second: Scored) -> Scored:
    """What came of two halves of a shard, as if it had come of the whole."""
    tally = Tally()
    tally.add(first.tally)
    tally.add(second.tally)
    return Scored(
        first.shard,
        to_parquet(pa.concat_tables(read_table(pa.BufferReader(half.part)) for half in (first, second))),
        first.rows + second.rows,
        tally,
        {stage: first.seconds[stage] + second.seconds[stage] for stage in STAGES},
        max(first.peak, second.peak),
    )


def crashed(shard: Shard, setup: Setup) -> Scored:
    """What to say of a single entry that ended every process that worked on it."""
    (entry,) = from_table(shard.entries)
    name = entry_name(entry.path, entry.member)
    rows = Rows(setup.labels, setup.sha256)
    fault = Fault("crash", f"{name}: the process that worked on it was ended each time; look at it with care")
    rows.add_fault(Image(entry, shard.first, entry.member, fault), None, fault)
    return Scored(shard.number, to_parquet(rows.table()), 1, rows.tally, dict.fromkeys(STAGES, 0.0), 0)


def _peak() -> int:
    """Most memory that this process ever held, in bytes; 0 where the system does not tell, as on Windows."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _copy(entry: Entry, original: int) -> Entry:
    name = entry_name(entry.path, entry.member)
    message = f"{name}: named before, as image {original:,}; it is scored there"
    return Entry("fault", entry.path, entry.member, detail=message, cause="duplicate")


@dataclass
class _Pass:
    """One way through a shard; images wait, without their pixels, until enough faces are found."""

    setup: Setup
    recognizer: Recognizer
    rows: Rows
    seconds: dict[str, float]
    waiting: list[tuple[Image, str | None, tuple[int, int], FoundFaces | Fault]] = field(default_factory=list)
    lost: list[tuple[bytes, Fault]] = field(default_factory=list)
    faces: int = 0
    read: int = 0

    def run(self, images: Iterator[Image]) -> None:
        for image in images:
            self._take(image)
            if self.faces >= FACES_AT_ONCE:
                self._flush()
        if not self.read and len(gone := self._gone()) >= ALL_LOST:
            raise InputGoneError(
                f"none of {len(gone):,} images that were listed one after the other can be read "
                f"({gone[0]}); bring the input back"
            )
        self._flush()

    def _take(self, image: Image) -> None:
        if isinstance(image.data, Fault):
            self._note_lost(image, image.data)
            self.waiting.append((image, None, (0, 0), image.data))
            return
        self.read += 1
        self.rows.tally.bytes_read += len(image.data)
        with _timed(self.seconds, "read"):
            sha256 = hashlib.sha256(image.data).hexdigest()
        size, located = self._locate(image, image.data)
        self.faces += len(located.places) if isinstance(located, FoundFaces) else 0
        # The bytes have been used; only the faces are kept.
        self.waiting.append((image._replace(data=b""), sha256, size, located))

    def _locate(self, image: Image, data: bytes) -> tuple[tuple[int, int], FoundFaces | Fault]:
        name = entry_name(image.entry.path, image.member)
        try:
            with _timed(self.seconds, "decode"):
                check_cost(data, name)
                pixels = decode(data, name)
        except (ImageError, MemoryError) as error:
            return (0, 0), Fault("decoding", str(error) or f"{name}: not enough memory to decode it")
        try:
            with _timed(self.seconds, "detect"):
                return (pixels.shape[1], pixels.shape[0]), self.recognizer.find(pixels)
        except Exception as error:  # whatever it meets in one image, it must not end a run over a million
            return (0, 0), Fault("recognising", f"{name}: {' '.join(str(error).split())}")

    def _note_lost(self, image: Image, fault: Fault) -> None:
        """Stops if a file that was listed is gone together with the folder that was given."""
        if not image.entry.listed or fault.cause not in {"missing", "reading", "archive"}:
            return
        self.lost.append((image.entry.path, fault))
        for folder in self.setup.folders:
            if image.entry.path.startswith(os.path.join(folder, b"")) and not _anything_in(folder):
                raise InputGoneError(
                    f"{shown(folder)}: expected the folder that was listed, found it gone or empty; "
                    "bring it back, or mount it again"
                )

    def _gone(self) -> list[str]:
        """What was said of lost images, without those whose archive is there and only damaged."""
        archives = {path for path, fault in self.lost if fault.cause == "archive"}
        there = {path for path in archives if _can_be_read(path)}
        return [f.message for path, f in self.lost if f.cause != "archive" or path not in there]

    def _flush(self) -> None:
        with _timed(self.seconds, "classify"):
            located = [one for *_, one in self.waiting if isinstance(one, FoundFaces)]
            faces = iter(self.recognizer.answer(located))
        with _timed(self.seconds, "write"):
            for image, sha256, size, found in self.waiting:
                if isinstance(found, Fault):
                    self.rows.add_fault(image, sha256, found)
                else:
                    self.rows.add(image, sha256, size, next(faces))
        self.waiting.clear()
        self.faces = 0


def _anything_in(folder: bytes) -> bool:
    if is_address(folder):
        return True
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _can_be_read(path: bytes) -> bool:
    try:
        with open_file(path) as file:
            return bool(file.read(1))
    except Exception:  # each file system has its own errors
        return False


def to_parquet(table: pa.Table) -> bytes:
    """A table as the content of a Parquet file."""
    buffer = BytesIO()
    write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] += time.perf_counter() - start

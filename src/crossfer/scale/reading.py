"""From the entries of a shard to the bytes of its images, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from crossfer.scale.entries import Entry, entry_name
from crossfer.scale.faults import Fault
from crossfer.scale.names import is_address
from crossfer.scale.storage import open_file, read_whole, reason
from crossfer.scale.tables import ParquetReader
from crossfer.scale.tars import read_tar_member, stream_tar
from crossfer.scale.zips import ZipReader

AT_ONCE = 16  # requests to an object store; each takes long and little else


class Image(NamedTuple):
    """The bytes of an image, or why there are none.

    Attributes:
        entry: what it was read for.
        number: that entry's number in the plan.
        member: its name in an archive; of a stream, the one found there.
        data: the bytes, or the fault.
    """

    entry: Entry
    number: int
    member: bytes | None
    data: bytes | Fault


class Reader:
    """Reads the images of entries; it keeps the archive that it read last open."""

    def __init__(self) -> None:
        self._path: bytes | None = None
        self._archive: ZipReader | ParquetReader | None = None

    def images(self, entries: Sequence[Entry], first: int) -> Iterator[Image]:
        """The image or images of each entry, in order.

        Args:
            entries: from one shard.
            first: number of the first of them in the plan.
        """
        if any(entry.kind == "file" and is_address(entry.path) for entry in entries):
            yield from self._ahead(entries, first)
            return
        for number, entry in enumerate(entries, start=first):
            yield from self._now(entry, number)

    def _now(self, entry: Entry, number: int) -> Iterator[Image]:
        if entry.kind != "stream":
            yield self._image(entry, number)
            return
        for member, data in stream_tar(entry.path):
            yield Image(entry, number, member, data)

    def _ahead(self, entries: Sequence[Entry], first: int) -> Iterator[Image]:
        """Several files at once; what lies in archives is read when its turn comes."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked: deque[tuple[Entry, int, Future[Image] | None]] = deque()
            for number, entry in enumerate(entries, start=first):
                answer = pool.submit(self._image, entry, number) if entry.kind == "file" else None
                asked.append((entry, number, answer))
                if len(asked) > AT_ONCE:
                    yield from self._answered(*asked.popleft())
            while asked:
                yield from self._answered(*asked.popleft())

    def _answered(self, entry: Entry, number: int, answer: Future[Image] | None) -> Iterator[Image]:
        return self._now(entry, number) if answer is None else iter([answer.result()])

    def _image(self, entry: Entry, number: int) -> Image:
        try:
            return Image(entry, number, entry.member, self._read(entry))
        except Fault as fault:
            return Image(entry, number, entry.member, fault)

    def _read(self, entry: Entry) -> bytes:
        if entry.kind == "fault":
            raise Fault(entry.cause or "listing", entry.detail or "")
        if entry.kind == "file":
            return read_whole(entry.path)
        try:
            return self._read_member(entry)
        except Fault:
            raise
        except FileNotFoundError:
            cause, why = "missing", "no such file"
        except PermissionError as error:
            cause, why = "permission", reason(error)
        except Exception as error:  # a damaged member raises whatever its decompressor does
            cause, why = "archive", reason(error)
            if getattr(error, "errno", None) is not None:  # not the member: the disk or the connection
                self.close()
        raise Fault(cause, f"{entry_name(entry.path, entry.member)}: cannot be read from its archive ({why})")

    def _read_member(self, entry: Entry) -> bytes:
        if entry.kind == "tar":
            with open_file(entry.path) as file:
                return read_tar_member(file, entry)
        if self._archive is None or self._path != entry.path:
            self.close()
            self._archive = ZipReader(entry.path) if entry.kind == "zip" else ParquetReader(entry.path)
            self._path = entry.path
        return self._archive.read(entry)

    def close(self) -> None:
        """Lets the open archive go."""
        if self._archive is not None:
            self._archive.close()
        self._archive = self._path = None

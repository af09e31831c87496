"""Images in tar files: how they are listed, and how their bytes are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import PurePosixPath
from tarfile import InvalidHeaderError, ReadError  # type: ignore[attr-defined]
from typing import IO, BinaryIO, Self

from crossfer.images.read import SUFFIXES
from crossfer.scale.entries import Entry, PassOver, entry_name, fault_entry, is_hidden, no_file
from crossfer.scale.faults import Fault
from crossfer.scale.names import is_address, shown, suffix
from crossfer.scale.storage import Listed, check_size, open_file, reason
from crossfer.system.regular import open_regular

MAX_HEADERS = 1 << 20  # bytes; what tells of one member of a tar: its name, and where a sparse one has holes
TARS = frozenset({".tar", ".tgz", ".tar.gz", ".tbz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"})
# By how their files begin; a plain tar begins with the name of its first member, which may be BZh1.png.
_UNPACKERS = (
    (re.compile(rb"\x1f\x8b"), gzip.open),
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.open),
    (re.compile(rb"\xfd7zXZ\0"), lzma.open),
)
_START = 16  # bytes that tell


def list_tar(found: Listed, pass_over: PassOver) -> Iterator[Entry]:
    """The images of a tar on this machine; one entry for a tar that must be read from front to back."""
    streamed = Entry("stream", found.path, size=found.size, stamp=found.stamp)
    if is_address(found.path) or suffix(found.path) != ".tar":
        yield streamed
        return
    try:
        with open_regular(found.path) as file:
            if _is_packed(file.read(_START)):
                yield streamed
                return
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
                for name, info in _members(archive, pass_over):
                    yield _tar_entry(found, name, info)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        yield fault_entry(found.path, "archive", _broken_tar(found.path, error))


def read_tar_member(file: BinaryIO, entry: Entry) -> bytes:
    """The bytes of a member whose header's offset is known; the holes of a sparse one are filled.

    Raises:
        OSError: if it is no longer the one that was listed.
        tarfile.TarError: if the file ends before it does, or another begins there.
        Fault: if it is too large.
    """
    check_size(entry.size or 0, entry_name(entry.path, entry.member))
    file.seek(entry.place or 0)
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        info = archive.next()
        content = None if info is None else archive.extractfile(info)
        data = b"" if content is None else content.read()
    if len(data) != entry.size:
        raise OSError(f"expected {entry.size or 0:,} bytes, found {len(data):,}")
    return data


def stream_tar(path: bytes) -> Iterator[tuple[bytes | None, bytes | Fault]]:
    """Each image of a tar with its name, from front to back; a damaged end is one more, without a name."""
    try:
        with (
            BufferedReader(open_file(path)) as file,  # type: ignore[arg-type]
            _unpacked(file) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Header) as archive,
        ):
            for name, info in _members(archive):
                try:
                    _check_regular(path, name, info)
                    check_size(info.size, entry_name(path, name))
                except Fault as fault:
                    yield name, fault
                    continue
                content = archive.extractfile(info)
                yield name, b"" if content is None else content.read()
    except FileNotFoundError:
        yield None, Fault("missing", f"{shown(path)}: no such file; check the path")
    except PermissionError as error:
        yield None, Fault("permission", f"{shown(path)}: cannot be read ({reason(error)})")
    except Exception as error:  # decompressors and stores have errors of their own
        yield None, Fault("archive", _broken_tar(path, error))


def _unpacked(file: BufferedReader) -> BufferedReader | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    """What a compressed file holds; ``tarfile`` would unpack at once whatever a few kB of it stand for."""
    start = file.peek(_START)
    for begins, unpack in _UNPACKERS:
        if begins.match(start):
            return unpack(file)
    return file


def _is_packed(start: bytes) -> bool:
    return any(begins.match(start) for begins, _ in _UNPACKERS)


class _Header(tarfile.TarInfo):
    """A header that must be whole and of sound size.

    ``tarfile`` takes a damaged one for the archive's end, and holds in memory whatever others go with it.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        file = tarfile.fileobj
        if not isinstance(file, _Bounded):  # here again for each further header of the same member
            tarfile.fileobj = _Bounded(file)  # type: ignore[assignment]
        try:
            return super().fromtarfile(tarfile)
        except RecursionError:
            raise ReadError("too many headers for one member") from None
        except InvalidHeaderError as error:
            raise ReadError(str(error)) from None
        finally:
            tarfile.fileobj = file

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):  # the mark of the end
                raise
            raise ReadError(str(error)) from None


class _Bounded:
    """A tar's file while the headers of one member are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MAX_HEADERS

    def read(self, size: int) -> bytes:
        """So many bytes, unless that were too many in all."""
        self._left -= size
        if size < 0 or self._left < 0:  # a negative one, which a header can state, stands for all the rest
            raise ReadError(f"more than {MAX_HEADERS >> 10:,} KiB of headers for one member")
        return self._file.read(size)

    def tell(self) -> int:
        """The place in the file."""
        return self._file.tell()


def _members(
    archive: tarfile.TarFile, pass_over: PassOver = lambda name: None
) -> Iterator[tuple[bytes, tarfile.TarInfo]]:
    """The images, links and the like included, with their names.

    Raises:
        tarfile.TarError: if the archive is damaged; what follows that place cannot be found.
    """
    last = -1
    while (info := _next(archive)) is not None:
        if info.offset <= last:
            raise ReadError(f"negative size at byte {last:,}")
        last = info.offset
        vars(archive)["members"].clear()  # which would otherwise hold a description of each member read
        name = str(PurePosixPath(info.name)).encode("utf-8", "surrogateescape")
        if info.isdir() or is_hidden(name):
            continue
        if suffix(name) in SUFFIXES:
            yield name, info
        else:
            pass_over(name)
    if archive.fileobj is not None and any(archive.fileobj.read(tarfile.BLOCKSIZE)):
        raise ReadError(f"empty header at byte {archive.offset:,}")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except ReadError as error:
        raise ReadError(f"{error} at byte {archive.offset:,}") from None


def _tar_entry(found: Listed, name: bytes, info: tarfile.TarInfo) -> Entry:
    try:
        _check_regular(found.path, name, info)
    except Fault as fault:
        return fault_entry(found.path, fault.cause, fault.message, name)
    return Entry("tar", found.path, name, info.offset, size=info.size, stamp=found.stamp)


def _check_regular(path: bytes, name: bytes, info: tarfile.TarInfo) -> None:
    """Refuses a member without bytes of its own.

    Raises:
        Fault: if it is one.
    """
    if info.issym() or info.islnk():
        target = shown(info.linkname.encode("utf-8", "surrogateescape"))
        raise no_file(path, name, f"a link to {target}, which is not followed")
    if not info.isreg():
        raise no_file(path, name, "a device or pipe")


def _broken_tar(path: bytes, error: BaseException) -> str:
    return f"{shown(path)}: expected a whole tar file ({reason(error)}); obtain it again"

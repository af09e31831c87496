"""Images in zip and tar files: how they are listed, and how their bytes are read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from zipfile import ZipFile, ZipInfo

from crossfer.runtime.image import SUFFIXES
from crossfer.scale.entries import Entry, entry_name, fault_entry
from crossfer.scale.faults import Fault
from crossfer.scale.names import is_address, shown, suffix
from crossfer.scale.storage import Listed, check_size, open_file, reason

TARS = frozenset({".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"})


def is_image_member(name: bytes) -> bool:
    """Whether a member is an image of the user's: by its suffix, not hidden, no litter."""
    parts = name.split(b"/")
    return suffix(name) in SUFFIXES and not any(part.startswith((b".", b"__MACOSX")) for part in parts)


# ---- zip ----


def list_zip(found: Listed) -> Iterator[Entry]:
    """The images of a zip, in the order of its directory."""
    try:
        with open_file(found.path) as file, ZipFile(file) as archive:
            for number, info in enumerate(archive.infolist()):
                name = info.filename.encode("utf-8", "surrogateescape")
                if not info.is_dir() and is_image_member(name):
                    yield Entry("zip", found.path, name, number, size=info.file_size, stamp=f"{info.CRC:08x}")
    except Exception as error:  # a damaged directory raises whatever it leads to
        message = f"{shown(found.path)}: expected a whole zip file ({reason(error)}); obtain it again"
        yield fault_entry(found.path, "archive", message)


class ZipReader:
    """Reads members of one zip; its directory is read once."""

    def __init__(self, path: bytes) -> None:
        self._file = open_file(path)
        try:
            self._archive = ZipFile(self._file)
            self._infos: list[ZipInfo] = self._archive.infolist()
        except BaseException:
            self._file.close()
            raise

    def read(self, entry: Entry) -> bytes:
        """The bytes of a member.

        Raises:
            Exception: whatever a damaged member leads to.
        """
        info = self._infos[entry.place or 0]
        if info.filename.encode("utf-8", "surrogateescape") != entry.member:
            raise ValueError("the zip is no longer the one that was listed")
        check_size(info.file_size, entry_name(entry.path, entry.member))
        return self._archive.read(info)

    def close(self) -> None:
        """Lets the file go."""
        self._archive.close()
        self._file.close()


# ---- tar ----


def list_tar(found: Listed) -> Iterator[Entry]:
    """The images of a tar on this machine; one entry for a tar that must be read from front to back."""
    if is_address(found.path) or suffix(found.path) != ".tar":
        yield Entry("stream", found.path, size=found.size, stamp=found.stamp)
        return
    try:
        with open(found.path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for name, info in _members(archive):
                yield Entry("tar", found.path, name, info.offset_data, size=info.size, stamp=found.stamp)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        yield fault_entry(found.path, "archive", _broken_tar(found.path, error))


def read_tar_member(file: BinaryIO, entry: Entry) -> bytes:
    """The bytes of a member whose offset is known.

    Raises:
        OSError: if the file ends before it.
        Fault: if it is too large.
    """
    size = entry.size or 0
    check_size(size, entry_name(entry.path, entry.member))
    file.seek(entry.place or 0)
    data = file.read(size)
    if len(data) < size:
        raise OSError(f"expected {size:,} bytes, found {len(data):,}")
    return data


def stream_tar(path: bytes) -> Iterator[tuple[bytes | None, bytes | Fault]]:
    """Each image of a tar with its name, from front to back; a damaged end is one more, without a name."""
    try:
        with open_file(path) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for name, info in _members(archive):
                try:
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


def _members(archive: tarfile.TarFile) -> Iterator[tuple[bytes, tarfile.TarInfo]]:
    while (info := archive.next()) is not None:
        vars(archive)["members"].clear()  # which would otherwise hold a description of each member read
        name = str(PurePosixPath(info.name)).encode("utf-8", "surrogateescape")
        if info.isreg() and is_image_member(name):
            yield name, info


def _broken_tar(path: bytes, error: BaseException) -> str:
    return f"{shown(path)}: expected a whole tar file ({reason(error)}); obtain it again"

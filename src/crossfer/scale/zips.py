"""Images in zip files: how they are listed, and how their bytes are read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from zipfile import ZipFile, ZipInfo

from crossfer.images.read import SUFFIXES
from crossfer.scale.entries import Entry, PassOver, entry_name, fault_entry, is_hidden, no_file
from crossfer.scale.names import shown, suffix
from crossfer.scale.storage import Listed, check_size, open_file, reason

_ENCRYPTED = 1  # of the flags of a zip's member


def list_zip(found: Listed, pass_over: PassOver) -> Iterator[Entry]:
    """The images of a zip, in the order of its directory."""
    try:
        with open_file(found.path) as file, ZipFile(file) as archive:
            for number, info in enumerate(archive.infolist()):
                name = info.filename.encode("utf-8", "surrogateescape")
                if info.is_dir() or is_hidden(name):
                    continue
                if suffix(name) in SUFFIXES:
                    yield _zip_entry(found.path, name, number, info)
                else:
                    pass_over(name)
    except Exception as error:  # a damaged directory raises whatever it leads to
        message = f"{shown(found.path)}: expected a whole zip file ({reason(error)}); obtain it again"
        yield fault_entry(found.path, "archive", message)


def _zip_entry(path: bytes, name: bytes, number: int, info: ZipInfo) -> Entry:
    if info.flag_bits & _ENCRYPTED:
        fault = no_file(path, name, "an encrypted one; unpack it with its password and score the folder")
    elif stat.S_ISLNK(info.external_attr >> 16):
        fault = no_file(path, name, "a link, which is not followed")
    else:
        return Entry("zip", path, name, number, size=info.file_size, stamp=f"{info.CRC:08x}")
    return fault_entry(path, fault.cause, fault.message, name)


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

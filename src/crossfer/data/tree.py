"""Where a data set lies: a folder, a zip, or a folder with zips in place of subfolders. All read alike."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from glob import escape
from pathlib import Path, PurePosixPath
from threading import Lock
from zipfile import BadZipFile, ZipFile

import numpy as np

from crossfer.data.sample import DataError
from crossfer.images.read import ImageError, decode
from crossfer.system.regular import open_regular

# What operating systems leave in folders and zips that people look at; names that begin with a dot as well.
LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def is_litter(name: str) -> bool:
    """Whether a path with ``/`` is none of the data's: hidden, or left by an operating system."""
    return any(part.startswith(".") or part.lower() in LITTER for part in name.split("/"))


def open_tree(path: str | Path, what: str) -> Tree:
    """The files below a folder or in a zip.

    Args:
        path: the folder or zip.
        what: what is looked for, as errors call it.

    Raises:
        DataError: if there is neither.
    """
    path = Path(path)
    if path.is_dir():
        return FolderTree(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ZipTree(path)
    found = "a file" if path.exists() else "no such folder"
    raise DataError(f"{path}: expected a folder or a zip that holds {what}, found {found}; check the path")


class FolderTree:
    """Files below a folder.

    Attributes:
        where: the folder, as messages and ``Sample.path`` begin.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every file to the bottom, relative, with ``/``; without litter."""
        return frozenset(self._walk(""))

    def _walk(self, below: str) -> Iterator[str]:
        try:
            entries = list(os.scandir(os.path.join(self.where, below)))
        except OSError as error:
            raise DataError(f"{self.where}/{below}: cannot be listed ({error.strerror})") from error
        for entry in entries:
            if not is_litter(entry.name):
                name = f"{below}{entry.name}"
                if entry.is_dir():
                    yield from self._walk(f"{name}/")
                else:
                    yield name

    def folders(self) -> list[str]:
        """Names of the subfolders, zips of folders included, sorted."""
        names = {_folder_name(entry) for entry in os.scandir(self.where) if not is_litter(entry.name)}
        return sorted(name for name in names if name is not None)

    def branch(self, name: str) -> Tree | None:
        """A subfolder (with ``/`` for deeper ones), or the zip in its place; None if there is neither."""
        path = Path(self.where, name)
        if path.is_dir():
            return FolderTree(path)
        zips = sorted(path.parent.glob(f"{escape(path.name)}.[zZ][iI][pP]"))
        if (archive := next((zip_ for zip_ in zips if zip_.is_file()), None)) is None:
            return None
        tree = ZipTree(archive)
        return (tree.branch(path.name) if tree.folders() == [path.name] else None) or tree

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return Path(self.where, name).is_file()

    def bytes_of(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        path = os.path.join(self.where, name)
        try:
            with open_regular(path) as file:
                return file.read()
        except FileNotFoundError:
            if os.path.islink(path):
                raise DataError(
                    f"{self.where}/{name}: expected a file, found a link to one that is not there; bring "
                    "back what it leads to, or remove the link"
                ) from None
            return None
        except OSError as error:
            raise DataError(
                f"{self.where}/{name}: cannot be read ({error.strerror or error}); check the file"
            ) from error

    def read(self, name: str) -> np.ndarray:
        """Pixels of an image, uint8 RGB (H, W, 3)."""
        return _pixels(self, name)

    def state(self) -> Iterator[str]:
        """Lines that change whenever a file below does: names, sizes and times."""
        return _states(self.where, "")

    def state_of(self, name: str) -> str:
        """A line that changes whenever the file does."""
        return f"{name} {_state(os.stat(Path(self.where, name)))}"

    def listing(self) -> str:
        """What lies at the top, for messages."""
        return list_some(sorted(entry.name for entry in os.scandir(self.where)))


class _OpenZip:
    """A zip open for reading by all threads of a process; another process opens it for itself.

    A forked process would share the place in the file with its parent: each would read the other's bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._process, self._lock, self._file = os.getpid(), Lock(), ZipFile(self.path)

    def __reduce__(self) -> tuple[type[_OpenZip], tuple[Path]]:
        return _OpenZip, (self.path,)

    def names(self) -> list[str]:
        """Every member, folders included."""
        return self._file.namelist()

    def read(self, name: str) -> bytes:
        """The content of a member."""
        if self._process != os.getpid():
            self._open()
        with self._lock:
            return self._file.read(name)


class ZipTree:
    """Files in a zip, or below one of its folders; one handle serves all reads, of all threads.

    Attributes:
        where: the zip, and the folder in it, as messages and ``Sample.path`` begin.
    """

    def __init__(self, path: Path, prefix: str = "", opened: ZipTree | None = None) -> None:
        self.path = path
        self.prefix = prefix
        self.where = f"{path}/{prefix}".rstrip("/")
        if opened is None:
            try:
                self._zip = _OpenZip(path)
            except (BadZipFile, OSError) as error:
                raise DataError(f"{path}: expected a whole zip file ({error}); obtain it again") from error
            self._refuse_twins()
        else:
            self._zip = opened._zip

    def _refuse_twins(self) -> None:
        twins = [name for name, files in Counter(self._zip.names()).items() if files > 1]
        if twins:
            raise DataError(f"{self.path}: holds two files named {min(twins)}; pack it again")

    @cached_property
    def names(self) -> frozenset[str]:
        """Every file to the bottom, relative, with ``/``; without litter."""
        below = (
            name[len(self.prefix) :]
            for name in self._zip.names()
            if name.startswith(self.prefix) and not name.endswith("/")
        )
        return frozenset(name for name in below if not is_litter(name))

    def folders(self) -> list[str]:
        """Names of the folders at the top, sorted."""
        return sorted({name.split("/", 1)[0] for name in self.names if "/" in name})

    def branch(self, name: str) -> Tree | None:
        """A folder in it; None if there is none."""
        if not any(other.startswith(f"{name}/") for other in self.names):
            return None
        return ZipTree(self.path, f"{self.prefix}{name}/", self)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self.names

    def bytes_of(self, name: str) -> bytes | None:
        """The content of a member; None if there is none."""
        if name not in self.names:
            return None
        try:
            return self._zip.read(self.prefix + name)
        except MemoryError:
            raise
        except Exception as error:  # a damaged member raises whatever its decompressor does
            raise DataError(f"{self.where}/{name}: cannot be unpacked ({error}); obtain it again") from error

    def read(self, name: str) -> np.ndarray:
        """Pixels of an image, uint8 RGB (H, W, 3)."""
        return _pixels(self, name)

    def state(self) -> Iterator[str]:
        """A line that changes whenever a file in it does: the zip's size and times."""
        yield self.state_of(self.prefix)

    def state_of(self, name: str) -> str:
        """A line that changes whenever the zip does."""
        return f"{self.where} {name} {_state(os.stat(self.path))}"

    def listing(self) -> str:
        """What lies at the top, for messages."""
        return list_some(sorted({name.split("/", 1)[0] for name in self.names}))


Tree = FolderTree | ZipTree


def trees_to_try(tree: Tree, depth: int = 2) -> Iterator[Tree]:
    """A tree, then its only subfolder and that one's: data sets come wrapped in a folder of their name."""
    yield tree
    folders = tree.folders()
    if depth and len(folders) == 1 and (inner := tree.branch(folders[0])) is not None:
        yield from trees_to_try(inner, depth - 1)


def list_some(names: list[str], most: int = 5) -> str:
    """A few names for a message.

    >>> list_some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = names or ["nothing in it"]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _folder_name(entry: os.DirEntry[str]) -> str | None:
    if entry.is_dir():
        return entry.name
    path = PurePosixPath(entry.name)
    return path.stem if path.suffix.lower() == ".zip" else None


def _pixels(tree: Tree, name: str) -> np.ndarray:
    if (data := tree.bytes_of(name)) is None:
        raise DataError(
            f"{tree.where}/{name}: no such file; it was there when the data set was listed, so look for what "
            "moved or removed it"
        )
    try:
        return decode(data, f"{tree.where}/{name}")
    except ImageError as error:
        raise DataError(str(error)) from error


def _states(where: str, below: str) -> Iterator[str]:
    for entry in sorted(os.scandir(os.path.join(where, below)), key=lambda entry: entry.name):
        name = f"{below}{entry.name}"
        if entry.is_dir():
            yield from _states(where, f"{name}/")
        else:
            yield f"{name} {_state(entry.stat())}"


def _state(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

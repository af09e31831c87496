"""Opening and listing what lies on this machine or at an fsspec address, without a difference."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import fsspec
import pyarrow as pa

from crossfer.images.read import MAX_BYTES
from crossfer.printable import without_password
from crossfer.scale.faults import Fault, ScoreError
from crossfer.scale.names import is_address, shown
from crossfer.system.regular import NotRegularError, open_regular

TRIES, FIRST_PAUSE = 4, 1.0  # an address is asked again after 1, 2 and 4 seconds
NAMES_AT_ONCE = 65_536
# What is no better on asking again.
_LASTING = FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, Fault
Answer = TypeVar("Answer")


class Listed(NamedTuple):
    """A file, or a folder that could not be listed: ``fault`` says why."""

    path: bytes
    size: int | None = None
    stamp: str | None = None
    fault: str | None = None


def filesystem(address: bytes) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of an address, and the path on it.

    Raises:
        ScoreError: if no installed package knows such addresses, or it cannot make sense of this one.
        OSError: if the archive that the address leads into cannot be opened.
    """
    with naming(address):
        fs, path = fsspec.core.url_to_fs(address.decode("utf-8", "surrogateescape"), use_listings_cache=False)
    return cast(fsspec.AbstractFileSystem, fs), path


@contextmanager
def naming(address: bytes) -> Iterator[None]:
    """Says which address a file system fails on in its own way, as for want of a host; OSErrors stay.

    Raises:
        ScoreError: in place of any other error.
    """
    try:
        yield
    except (OSError, ScoreError):
        raise
    except Exception as error:  # each file system has its own errors
        raise ScoreError(
            f"{shown(address)}: expected an address that can be opened ({reason(error)}); check the address"
        ) from error


def kind_of(name: bytes) -> str:
    """``"folder"``, ``"file"`` or ``"nothing"``.

    Raises:
        ScoreError: if it is an address of no use.
        OSError: if the place cannot be looked at.
    """
    if is_address(name):
        fs, path = filesystem(name)
        with naming(name):
            return "folder" if fs.isdir(path) else "file" if fs.exists(path) else "nothing"
    try:
        return "folder" if stat.S_ISDIR(os.stat(name).st_mode) else "file"
    except FileNotFoundError:
        return "file" if os.path.islink(name) else "nothing"


def look_at(name: bytes) -> Listed:
    """A file on this machine with its size and time, as far as they can be had; an address as it is."""
    if is_address(name):
        return Listed(name)
    try:
        seen = os.stat(name)
    except (OSError, ValueError):
        return Listed(name)
    return Listed(name, seen.st_size, str(seen.st_mtime_ns))


def walk(root: bytes, pass_link: Callable[[], None]) -> Iterator[Listed]:
    """Every file below a folder in sorted order, the files of a folder before those of its subfolders.

    Hidden names are passed by. The names of one folder at a time are held, packed.

    Args:
        root: the folder.
        pass_link: is called for each link to a folder; none is followed.
    """
    waiting = [iter([root])]
    while waiting:
        folder = next(waiting[-1], None)
        if folder is None:
            waiting.pop()
            continue
        try:
            files, folders = _list_address(folder) if is_address(folder) else _list_folder(folder, pass_link)
        except OSError as error:
            yield Listed(folder, fault=f"{shown(folder)}: cannot be listed ({reason(error)})")
            continue
        yield from files
        waiting.append(folders)


def _list_folder(folder: bytes, pass_link: Callable[[], None]) -> tuple[Iterator[Listed], Iterator[bytes]]:
    chunks: tuple[list[pa.Array], list[pa.Array]] = ([], [])
    names: tuple[list[bytes], list[bytes]] = ([], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            below = _is_folder(entry)
            if below and entry.is_symlink():
                pass_link()
                continue
            names[below].append(entry.name)
            if len(names[below]) == NAMES_AT_ONCE:
                chunks[below].append(pa.array(names[below], pa.large_binary()))
                names[below].clear()
    files, folders = (
        _sorted([*packed, pa.array(rest, pa.large_binary())])
        for packed, rest in zip(chunks, names, strict=True)
    )
    return (look_at(os.path.join(folder, name)) for name in files), (os.path.join(folder, n) for n in folders)


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle: reading it tells
        return False


def _sorted(chunks: list[pa.Array]) -> Iterator[bytes]:
    names = pa.chunked_array(chunks, pa.large_binary()).combine_chunks()
    for name in names.sort():
        yield name.as_py()


def _list_address(folder: bytes) -> tuple[Iterator[Listed], Iterator[bytes]]:
    fs, path = filesystem(folder)
    try:
        listed = patiently(lambda: fs.ls(path, detail=True))
    except Exception as error:  # each file system has its own errors
        raise OSError(reason(error)) from error
    listed = sorted((e for e in listed if _is_below(e["name"], path)), key=lambda entry: entry["name"])
    files = (_found(fs, entry) for entry in listed if entry["type"] != "directory")
    folders = [_full(fs, entry) for entry in listed if entry["type"] == "directory"]
    return files, iter(folders)


def _is_below(name: str, path: str) -> bool:
    inner = name.rstrip("/").removeprefix(path.rstrip("/"))
    return inner.startswith("/") and not inner.startswith("/.") and len(inner) > 1 and "?" not in inner


def _found(fs: fsspec.AbstractFileSystem, entry: dict[str, Any]) -> Listed:
    stamps = (entry.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "updated", "created"))
    stamp = next((str(value) for value in stamps if value is not None), None)
    return Listed(_full(fs, entry), entry.get("size"), stamp)


def _full(fs: fsspec.AbstractFileSystem, entry: dict[str, Any]) -> bytes:
    return fs.unstrip_protocol(entry["name"].rstrip("/")).encode("utf-8", "surrogateescape")


def open_file(name: bytes) -> BinaryIO:
    """A file to read and seek in.

    Raises:
        OSError: if it cannot be opened.
    """
    if not is_address(name):
        return open_regular(name)
    fs, path = filesystem(name)
    try:
        return cast(BinaryIO, patiently(lambda: fs.open(path, "rb")))
    except (OSError, ScoreError):
        raise
    except Exception as error:  # each file system has its own errors
        raise OSError(f"{shown(name)}: {reason(error)}") from error


def read_whole(name: bytes) -> bytes:
    """The bytes of an image file.

    Raises:
        Fault: if it is missing, no regular file, too large, or cannot be read.
    """
    try:
        data = _fetch(name) if is_address(name) else _read_file(name)
    except FileNotFoundError:
        raise Fault("missing", f"{shown(name)}: no such file; check the path") from None
    except PermissionError as error:
        raise Fault("permission", f"{shown(name)}: cannot be read ({reason(error)})") from error
    except (NotRegularError, IsADirectoryError) as error:
        raise Fault("not a file", f"{shown(name)}: cannot be read ({reason(error)})") from error
    except (OSError, ValueError) as error:
        raise Fault("reading", f"{shown(name)}: cannot be read ({reason(error)})") from error
    check_size(len(data), shown(name))
    return data


def check_size(size: int, name: str) -> None:
    """Refuses more bytes than an image may have.

    Raises:
        Fault: if there are more.
    """
    if size > MAX_BYTES:
        raise Fault("too large", f"{name}: expected at most {MAX_BYTES >> 20} MiB, found {size >> 20} MiB")


def _read_file(path: bytes) -> bytes:
    with open_regular(path) as file:
        check_size(os.fstat(file.fileno()).st_size, shown(path))
        return file.read()


def _fetch(address: bytes) -> bytes:
    fs, path = filesystem(address)
    # Over HTTP one request, whose answer streams: fsspec calls any file missing whose size it fails to learn.
    how = {"block_size": 0, "size": 1} if "http" in fs.protocol else {}

    def ask() -> bytes:
        with fs.open(path, "rb", **how) as file:
            check_size(_announced(file), shown(address))
            return _read_bounded(cast(BinaryIO, file), shown(address))

    try:
        return patiently(ask)
    except (OSError, Fault):
        raise
    except Exception as error:  # each file system has its own errors
        raise OSError(reason(error)) from error


def _announced(file: object) -> int:
    """The size that is known before a file is read, else 0."""
    answer = getattr(file, "r", None)  # of aiohttp, where fsspec streams over HTTP
    return getattr(file, "size", None) or getattr(answer, "content_length", None) or 0


def _read_bounded(file: BinaryIO, name: str) -> bytes:
    """All of a file, whose size may be other than announced, or have no end."""
    content = BytesIO()
    while part := file.read(MAX_BYTES + 1 - content.tell()):
        content.write(part)
        if content.tell() > MAX_BYTES:
            raise Fault("too large", f"{name}: expected at most {MAX_BYTES >> 20} MiB, found more")
    return content.getvalue()


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What a store answers; asked again a few times if it fails in a way that may pass."""
    pause = FIRST_PAUSE
    for _ in range(TRIES - 1):
        try:
            return ask()
        except _LASTING:
            raise
        except Exception:  # each file system has its own errors
            time.sleep(pause)
            pause *= 2
    return ask()


def reason(error: BaseException) -> str:
    """Why something failed, on one line, without the place; a password in an address is left out."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_password(" ".join(text.split())) or type(error).__name__

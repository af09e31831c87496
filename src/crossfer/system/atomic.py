"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_NAME_KEPT = 40  # characters of a name in that of its unfinished file, which must not be too long either
_OPEN = "/dev/fd"  # what this process has open, by number; on Linux a link to /proc/PID/fd


def write_atomically(path: Path, content: bytes, *, alone: bool = False) -> None:
    """Writes a file beside its final place and renames it, so that nobody ever sees half of it.

    Args:
        path: the place to take; see :func:`whole_file` for links, pipes and devices.
        content: of the file.
        alone: as :func:`whole_file` takes it.

    Raises:
        OSError: if the folder does not exist or cannot be written; it names ``path``.
    """
    with whole_file(path, alone=alone) as part:
        part.write_bytes(content)


def to_disk(path: Path) -> None:
    """Waits until the content of a file is on the disk, where a power cut does not reach it.

    Raises:
        OSError: if it cannot be; it names ``path``.
    """
    with path.open("r+b") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(path)
            raise


@contextmanager
def whole_file(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """A file to write, which takes the place of another once all went well and is gone if not.

    It is on the disk before it is renamed, so that a power cut leaves the old file or the new one. A link
    stays, and what it leads to is replaced; a file that was there passes on its mode; a pipe or a device such
    as ``/dev/null`` stays what it is and is written to, and so is a file behind ``/dev/stdout``, where it is
    open already and may hold more.

    Args:
        path: the place to take.
        alone: no other process writes there meanwhile, so that what a killed one left is written over.

    Raises:
        OSError: as :func:`write_atomically`.
    """
    if path.exists() and (open_descriptor(path) is not None or not (path.is_file() or path.is_dir())):
        # Its real path may be none: pipe:[123].
        with TemporaryDirectory() as folder:
            part = Path(folder) / "part"
            yield part
            _pass_on(part, path)
        return
    target = Path(os.path.realpath(path))
    name = target.name if alone else f"{target.name[:_NAME_KEPT]}.{os.getpid()}"
    part = target.with_name(f".{name}.part")
    try:
        part.unlink(missing_ok=True)
        yield part
        to_disk(part)
        if target.is_file():
            part.chmod(target.stat().st_mode & 0o7777)
        part.replace(target)
    except OSError as error:
        # Nobody knows of the part, and a full disk names no file.
        if error.filename == str(part) or (error.filename is None and error.errno is not None):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        part.unlink(missing_ok=True)


def open_descriptor(path: Path) -> int | None:
    """The number under which what a path leads to is open, as of ``/dev/stdout`` and ``/dev/fd/3``."""
    while True:
        if path.name.isdecimal() and os.path.realpath(path.parent) in {f"/proc/{os.getpid()}/fd", _OPEN}:
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / os.readlink(path)


def _pass_on(part: Path, stream: Path) -> None:
    """Writes the content of a file to a pipe, device or open file; errors name it, as a full one's do not."""
    content, descriptor = part.read_bytes(), open_descriptor(stream)
    try:
        with stream.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
    except OSError as error:
        error.filename = str(stream)
        raise

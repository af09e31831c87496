"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_NAME_KEPT = 40  # characters of a name in that of its unfinished file, which must not be too long either


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file beside its final place and renames it, so that nobody ever sees half of it.

    It is on the disk before it is renamed, so that a power cut leaves the old file or the new one.

    See :func:`whole_file` for links, pipes and devices.

    Raises:
        OSError: if the folder does not exist or cannot be written; it names ``path``.
    """
    with whole_file(path) as part:
        part.write_bytes(content)
        to_disk(part)


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
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of another once all went well and is gone if not.

    A link stays, and what it leads to is replaced; a file that was there passes on its mode; a pipe or a
    device such as ``/dev/null`` stays what it is and is written to.

    Args:
        path: the place to take.

    Raises:
        OSError: as :func:`write_atomically`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with TemporaryDirectory() as folder:
            part = Path(folder) / "part"
            yield part
            target.write_bytes(part.read_bytes())
        return
    part = target.with_name(f".{target.name[:_NAME_KEPT]}.{os.getpid()}.part")
    try:
        yield part
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

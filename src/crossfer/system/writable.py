"""Whether a result can be written where it is wanted, to be known before any work is done."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from crossfer.system.atomic import open_descriptor


def need_file(option: str, path: Path | None) -> None:
    """Proves that a file can be written, new or in the place of another.

    A pipe, a device, and what is open already are believed.

    Args:
        option: by which the user named the file.
        path: the file; None if none is wanted.

    Raises:
        ValueError: one line that names the option, and why it cannot be.
    """
    if path is None:
        return
    if not os.path.exists(path.absolute().parent):
        raise ValueError(f"{option} {path}: no folder {path.parent}; make it first")
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise ValueError(f"{option} {path}: expected a file to write, found a folder")
    if not os.path.exists(path) or (os.path.isfile(path) and open_descriptor(path) is None):
        _try(option, path, Path(os.path.realpath(path)).parent)


def need_folder(option: str, folder: Path) -> None:
    """Proves that a folder, which may have to be made with those it lies in, can be written into.

    Args:
        option: by which the user named the folder.
        folder: the folder.

    Raises:
        ValueError: as :func:`need_file`.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    _try(option, folder, there)


def _try(option: str, path: Path, folder: Path) -> None:
    """Writes into a folder that is there, and leaves nothing in it."""
    try:
        with suppress(FileNotFoundError):
            os.stat(path)  # a loop of links, a name that is too long
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{option} {path}: cannot be written ({error.strerror}); choose another place"
        ) from error

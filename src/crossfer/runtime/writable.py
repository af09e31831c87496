"""Whether a result can be written where it is wanted, to be known before any work is done."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile


def need_writable(option: str, path: Path, folder: Path) -> None:
    """Proves that something can be written into a folder, and leaves nothing there.

    Args:
        option: by which the user named the path.
        path: what is to be written.
        folder: where that is.

    Raises:
        ValueError: one line that names the option, and why it cannot be.
    """
    try:
        with suppress(FileNotFoundError):
            os.stat(path)  # a loop of links, a name that is too long
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{option} {path}: cannot be written ({error.strerror}); choose another place"
        ) from error

"""Opening a file that must be one: a folder is told, and a pipe is not waited for."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

# What a system lacks of these it does not need: Windows has no pipes among its files, others no text mode.
_NAMES = ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in _NAMES)


class NotRegularError(OSError):
    """What has the name of a file is a folder, device, pipe or socket."""


def open_regular(path: bytes | str | os.PathLike[str]) -> BinaryIO:
    """A file on this machine, to read and seek in.

    Raises:
        NotRegularError: if it is a folder, device, pipe or socket.
        OSError: if it cannot be opened.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that nothing drives
            raise NotRegularError("expected a regular file, found a device or socket") from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        found = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise NotRegularError(f"expected a regular file, found {found}")
    return os.fdopen(descriptor, "rb")

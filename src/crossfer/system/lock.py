"""A folder that one process at a time may write to."""

from __future__ import annotations

import errno
import sys
from io import BytesIO
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

# What flock says on a file system that has no locks.
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class FolderInUseError(ValueError):
    """Another process writes to the folder now."""


def lock_folder(folder: Path, name: str) -> IO[bytes]:
    """Keep other processes out of a folder until the file that is given back is closed.

    A process that is killed keeps nobody out. Where there are no locks, as on Windows and some network file
    systems, nobody is kept out. The file may be removed while it is held.

    Args:
        folder: to write to.
        name: of the file in it that is locked.

    Raises:
        FolderInUseError: if another process, or this one, has locked it.
        OSError: if the file cannot be made, or whether it is locked cannot be told.
    """
    file = (folder / name).open("wb")
    if sys.platform == "win32":  # where no file that is open can be removed
        file.close()
        return BytesIO()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FolderInUseError(
            f"{folder}: another run is writing there now; wait for it, or name another output"
        ) from None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            file.close()
            raise OSError(error.errno, error.strerror, file.name) from error
    return file

"""What Windows does otherwise, as far as another system can be made to do it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from crossfer.system import lock

DESCRIPTORS = "/proc/self/fd"


def keep_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be removed while this process has it open, and folders are not locked; on Linux."""
    if not os.path.exists(DESCRIPTORS):
        pytest.skip("asks /proc for what is open")
    remove = os.unlink

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        if _is_open(os.stat(path, dir_fd=dir_fd, follow_symlinks=False)):
            raise PermissionError(
                13, "The process cannot access the file because it is being used", str(path)
            )
        remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(lock, "sys", SimpleNamespace(platform="win32"))


def _is_open(file: os.stat_result) -> bool:
    numbers = [int(name) for name in os.listdir(DESCRIPTORS)]
    return any(os.path.samestat(file, found) for found in map(_seen, numbers) if found is not None)


def _seen(number: int) -> os.stat_result | None:
    try:
        return os.fstat(number)
    except OSError:  # the folder itself, listed while it was open
        return None

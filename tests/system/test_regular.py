from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from crossfer.system.regular import NotRegularError, open_regular


def test_a_file_is_read_by_any_kind_of_path(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12\r\n3")
    for path in (tmp_path / "a", str(tmp_path / "a"), bytes(tmp_path / "a")):
        with open_regular(path) as file:
            assert file.read() == b"12\r\n3"


def test_what_is_no_file_is_said_at_once_and_holds_nothing_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        place = os.getcwd()
        os.chdir(tmp_path)  # names of sockets are short
        try:
            server.bind("socket")
        finally:
            os.chdir(place)
        before = len(os.listdir("/dev/fd"))
        for name, found in [
            (".", "a folder"),
            ("pipe", "a device or pipe"),
            ("socket", "a device or socket"),
        ]:
            with pytest.raises(NotRegularError, match=f"^expected a regular file, found {found}$"):
                open_regular(tmp_path / name)
        assert len(os.listdir("/dev/fd")) == before


def test_a_file_that_is_not_there_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")

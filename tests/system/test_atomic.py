import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossfer.system import atomic
from crossfer.system.atomic import whole_file, write_atomically
from support.full_disk import files_of_at_most


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(self: Path, target: Path):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, safe = tmp_path / "a.txt", []

    def fsync(number: int) -> None:
        assert not path.exists()
        safe.append(Path(f"/proc/self/fd/{number}").read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"new")
    assert safe == [b"new"]


def test_a_disk_that_fails_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def fsync(number: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error") as error:
        write_atomically(tmp_path / "a.txt", b"new")
    assert error.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_its_user_wrote_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, safe = tmp_path / "a.txt", []

    def fsync(number: int) -> None:
        assert not path.exists()
        safe.append(Path(f"/proc/self/fd/{number}").read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(path) as part:
        part.write_bytes(b"new")
    assert safe == [b"new"]


def test_what_a_killed_process_left_is_written_over_where_no_other_writes(tmp_path):
    path, seen = tmp_path / "a.txt", []
    for _ in range(2):
        with whole_file(path, alone=True) as part:
            part.write_bytes(b"new")
            seen.append(part.name)
    assert seen == [".a.txt.part"] * 2
    left = tmp_path / seen[0]
    left.write_bytes(b"half of what was to be")
    left.chmod(0o400)
    write_atomically(path, b"newer", alone=True)
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_leads_to_the_new_content(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real.name)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    write_atomically(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        write_atomically(pipe, b"new")
        assert read.result(timeout=10) == b"new"
    assert pipe.is_fifo()


def test_an_open_pipe_is_written_to_by_its_number():
    read, write = os.pipe()
    write_atomically(Path(f"/dev/fd/{write}"), b"new")
    os.close(write)
    with open(read, "rb") as reader:
        assert reader.read() == b"new"


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="links of Linux")
@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_an_open_file_is_written_on_and_not_replaced(tmp_path, mode):
    """As with ``>`` and ``>>``, where the shell and other programs write before and after."""
    path, link = tmp_path / "log", tmp_path / "link"
    path.write_bytes(b"kept ")
    with path.open(mode, buffering=0) as log:
        log.write(b"before ")
        link.symlink_to(f"/dev/fd/{log.fileno()}")
        write_atomically(link, b"new ")
        log.write(b"after")
    assert path.read_bytes() == b"kept " * (mode == "ab") + b"before new after"


def test_a_device_stays_one():
    write_atomically(Path(os.devnull), b"new")
    assert Path(os.devnull).is_char_device()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_device_that_takes_nothing_is_an_error_that_names_it():
    with pytest.raises(OSError, match="No space left") as error:
        write_atomically(Path("/dev/full"), b"new")
    assert error.value.filename == "/dev/full"


def test_the_longest_name_there_is(tmp_path):
    path = tmp_path / ("\N{GREEK SMALL LETTER ALPHA}" * 126 + ".js")
    write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "none" / "a.txt"
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(path, b"new")
    assert error.value.filename == str(path)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "a.txt"
    with files_of_at_most(10), pytest.raises(OSError, match="too large") as error:
        write_atomically(path, b"x" * 11)
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_need_not_be_links_to_what_is_open(tmp_path, monkeypatch):
    """As in ``/dev/fd`` of macOS, where they are files, and no other can be made beside them."""
    monkeypatch.setattr(atomic, "_OPEN", str(tmp_path / "fd"))
    (tmp_path / "fd").mkdir()
    with (tmp_path / "log").open("wb", buffering=0) as log:
        number, link = tmp_path / "fd" / str(log.fileno()), tmp_path / "stdout"
        number.touch()
        link.symlink_to(f"fd/{log.fileno()}")
        log.write(b"before ")
        write_atomically(link, b"new ")
        write_atomically(number, b"after")
    assert (tmp_path / "log").read_bytes() == b"before new after"
    write_atomically(tmp_path / "7", b"another place")
    assert (tmp_path / "7").read_bytes() == b"another place"

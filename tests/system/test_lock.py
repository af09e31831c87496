import errno
import os
import signal
import subprocess
import sys

import pytest

from crossfer.system import lock
from crossfer.system.lock import FolderInUseError, lock_folder
from support.windows import keep_open_files

HOLD = (
    "import sys, time, pathlib; from crossfer.system.lock import lock_folder\n"
    "held = lock_folder(pathlib.Path(sys.argv[1]), '.lock'); print('held', flush=True); time.sleep(60)"
)
MESSAGE = "another run is writing there now; wait for it, or name another output"


def test_one_process_at_a_time_and_none_once_it_was_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUseError, match=MESSAGE) as error:
            lock_folder(tmp_path, ".lock")
        assert str(error.value).startswith(f"{tmp_path}: ")
        os.kill(holder.pid, signal.SIGKILL)
    lock_folder(tmp_path, ".lock").close()


def test_closing_lets_others_in(tmp_path):
    with lock_folder(tmp_path, "lock"):
        with pytest.raises(FolderInUseError):
            lock_folder(tmp_path, "lock")
        lock_folder(tmp_path, "other").close()
    lock_folder(tmp_path, "lock").close()


def fail(monkeypatch, code: int) -> None:
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", flock)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_systems_without_locks_are_written_to(tmp_path, monkeypatch, code):
    fail(monkeypatch, code)
    lock_folder(tmp_path, "lock").close()


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_nothing_is_written_where_it_cannot_be_told_whether_another_does(tmp_path, monkeypatch, code):
    fail(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)) as error:
        lock_folder(tmp_path, "lock")
    assert error.value.filename == str(tmp_path / "lock")


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        lock_folder(tmp_path / "missing", "lock")


def test_where_an_open_file_cannot_be_removed_the_locked_one_can(tmp_path, monkeypatch):
    keep_open_files(monkeypatch)
    with (tmp_path / "other").open("wb"), pytest.raises(PermissionError):
        (tmp_path / "other").unlink()
    with lock_folder(tmp_path, "lock"):
        (tmp_path / "lock").unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        lock_folder(tmp_path / "missing", "lock")

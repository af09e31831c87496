from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.system.writable import need_file, need_folder


def test_a_folder_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    need_folder("--runs", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^--runs .*/file/b: cannot be written \(Not a directory\); choose"):
        need_folder("--runs", tmp_path / "file" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"^--runs .*/link: cannot be written \(No such file .*\); choose"):
        need_folder("--runs", tmp_path / "link")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="links of Linux")
def test_what_is_open_can_be_written_wherever_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        (folder / "log").unlink()
        folder.rmdir()
        need_file("-o", Path(f"/dev/fd/{log.fileno()}"))

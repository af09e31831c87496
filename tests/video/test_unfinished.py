"""The folder of a run that is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.video.unfinished import Unfinished, remove_waste, unfinished_folder
from support.windows import keep_open_files


def test_a_complete_run_leaves_no_folder_where_an_open_file_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_open_files(monkeypatch)
    run = Unfinished(tmp_path / "talk.jsonl", {"model": "tiny"}, resume=False)
    run.write_rows("{}\n")
    run.remove()
    assert not list(tmp_path.iterdir())
    folder = unfinished_folder(tmp_path / "talk.jsonl")
    folder.mkdir()
    (folder / "lock").touch()
    remove_waste(tmp_path / "talk.jsonl")
    assert not list(tmp_path.iterdir())

"""From a recipe's table to faces: any set, with validation images cut from train by a split file."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.data.sample import DataError
from crossfer.data.splitfile import SplitFile
from crossfer.train.config import DataConfig
from crossfer.train.source import LICENSES, open_split
from data.layouts import write_class_folders


def test_own_images_with_a_split_file(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Happy": 2, "Sad": 2})
    config = DataConfig(name="folder", target="majority", root=root, classes="sad,happy")
    with pytest.raises(DataError, match="no valid split here; cut one from train with 'crossfer data split"):
        open_split(config, "valid")
    names = {f"{name}/{i}.png": ("train", "valid")[i] for name in ("Happy", "Sad") for i in (0, 1)}
    (tmp_path / "split.csv").write_text(SplitFile("folder", "", names).to_text())
    config = config.model_copy(update={"split_file": tmp_path / "split.csv"})
    train, valid = open_split(config, "train"), open_split(config, "valid")
    assert [s.name for s in train.samples] == ["Happy/0.png", "Sad/0.png"]
    assert [s.label for s in valid.samples] == [1, 0]


def test_every_data_set_has_a_licence() -> None:
    for name in ("ferplus", "synthetic", "rafdb", "sfew", "affectnet7", "affectnet8", "folder", "table"):
        assert LICENSES[name]

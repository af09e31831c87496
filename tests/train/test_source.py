"""From a recipe's table to faces: any set, with validation images cut from train by a split file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crossfer.data.sample import DataError
from crossfer.data.splitfile import SplitFile
from crossfer.train.config import DataConfig, RecipeError
from crossfer.train.source import LICENSES, cut_valid, data_of_run, open_split
from data.layouts import write_class_folders


def test_own_images_with_a_split_file(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Happy": 2, "Sad": 2})
    config = DataConfig(name="folder", target="label", root=root, classes="sad,happy")
    told = (
        rf"""here; cut one .* 'crossfer data split folder --root {root} --classes "sadness, happiness" -o"""
    )
    with pytest.raises(DataError, match=told):
        open_split(config, "valid")
    names = {f"{name}/{i}.png": ("train", "valid")[i] for name in ("Happy", "Sad") for i in (0, 1)}
    (tmp_path / "split.csv").write_text(SplitFile("folder", "", names).to_text())
    config = config.model_copy(update={"split_file": tmp_path / "split.csv"})
    train, valid = open_split(config, "train"), open_split(config, "valid")
    assert [s.name for s in train.samples] == ["Happy/0.png", "Sad/0.png"]
    assert [s.label for s in valid.samples] == [1, 0]


def own(tmp_path: Path, **keys: object) -> DataConfig:
    root = write_class_folders(tmp_path / "faces", {"Bored": 10, "Happy": 5})
    return DataConfig.model_validate(
        {"name": "folder", "target": "label", "root": root, "classes": "found", "valid_share": 0.2} | keys
    )


def test_a_validation_split_is_cut_once_and_kept_in_the_run_s_folder(tmp_path: Path) -> None:
    config, folder = own(tmp_path), tmp_path / "runs" / "mine"
    path = cut_valid(config, open_split(config, "train"), folder)
    assert path == folder / "split.csv"
    command = "crossfer data split folder --classes found --valid 0.2 --seed 0 --duplicates near"
    assert f"# command: {command}\n" in path.read_text()
    found = data_of_run(config, folder)
    train, valid = open_split(found, "train"), open_split(found, "valid")
    assert train.labels.expressions == valid.labels.expressions == ("bored", "happiness")
    assert [len([s for s in valid.samples if s.label == k]) for k in (0, 1)] == [2, 1]
    assert len(train) + len(valid) == 15
    assert not {s.name for s in train.samples} & {s.name for s in valid.samples}


def test_copies_stay_on_one_side(tmp_path: Path) -> None:
    config = own(tmp_path)
    for i in range(1, 6):
        shutil.copy(tmp_path / "faces/Bored/0.png", tmp_path / f"faces/Bored/{i}.png")
    cut_valid(config, open_split(config, "train"), tmp_path / "run")
    found = data_of_run(config, tmp_path / "run")
    names = {s.name for s in open_split(found, "valid").samples}
    copies = {f"Bored/{i}.png" for i in range(6)}
    assert names & copies in (set(), copies)


def test_nothing_is_cut_where_there_is_a_split(tmp_path: Path) -> None:
    config = own(tmp_path, split_file=tmp_path / "given.csv")
    assert (
        cut_valid(config, open_split(config.model_copy(update={"split_file": None}), "train"), tmp_path)
        is None
    )
    config = own(tmp_path / "other", valid_share=0.0)
    assert cut_valid(config, open_split(config, "train"), tmp_path) is None
    for part in ("train", "val"):
        write_class_folders(tmp_path / "parted" / part, {"Bored": 2, "Happy": 2})
    config = own(tmp_path / "third", root=tmp_path / "parted")
    assert cut_valid(config, open_split(config, "train"), tmp_path) is None
    assert len(open_split(data_of_run(config, tmp_path), "valid")) == 4


def test_a_cut_of_an_earlier_start_does_not_stand_for_the_set_s_own_split(tmp_path: Path) -> None:
    config, folder = own(tmp_path), tmp_path / "run"
    assert cut_valid(config, open_split(config, "train"), folder) is not None
    for part in ("train", "val"):
        write_class_folders(tmp_path / "parted" / part, {"Bored": 2, "Happy": 2})
    config = config.model_copy(update={"root": tmp_path / "parted"})
    assert cut_valid(config, open_split(config, "train"), folder) is None
    assert len(open_split(data_of_run(config, folder), "valid")) == 4
    assert not (tmp_path / "split.csv").exists()


def test_a_split_file_that_is_not_asked_to_be_cut_is_left_as_it_is(tmp_path: Path) -> None:
    config, file = own(tmp_path), tmp_path / "run" / "split.csv"
    train = open_split(config, "train")
    assert cut_valid(config, train, file.parent) == file
    before = file.read_bytes()
    for keys in ({"valid_share": 0.0}, {"split_file": file}):
        assert cut_valid(config.model_copy(update=keys), train, file.parent) is None
        assert file.read_bytes() == before


@pytest.mark.parametrize("text", [SplitFile("folder", "", {"a.png": "valid"}).to_text(), "mine"])
def test_only_a_cut_of_its_own_is_replaced(tmp_path: Path, text: str) -> None:
    config, folder = own(tmp_path), tmp_path / "run"
    folder.mkdir()
    (folder / "split.csv").write_text(text)
    with pytest.raises(RecipeError, match=r"split\.csv: .* found another, .*name it as data\.split_file"):
        cut_valid(config, open_split(config, "train"), folder)
    assert (folder / "split.csv").read_text() == text
    (folder / "split.csv").unlink()
    for share, held_out in ((0.2, 3), (0.4, 6)):
        config = config.model_copy(update={"valid_share": share})
        cut_valid(config, open_split(config, "train"), folder)
        assert len(open_split(data_of_run(config, folder), "valid")) == held_out


@pytest.mark.parametrize("known", [False, True])
def test_a_split_that_was_cut_for_a_run_and_is_gone_is_asked_for(known: bool, tmp_path: Path) -> None:
    config, folder = own(tmp_path), tmp_path / "run"
    train = open_split(config, "train")
    path = cut_valid(config, train, folder)
    assert path is not None
    path.unlink()
    told = rf"^{path}: expected the split that was cut for this run, found nothing; put it back beside best"
    with pytest.raises(DataError, match=told):
        data_of_run(config, folder, train.labels if known else None)


def test_a_split_file_that_is_named_counts_more_than_the_one_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "split.csv").touch()
    given = own(tmp_path, split_file="given.csv")
    assert data_of_run(given, tmp_path).split_file == Path("given.csv")
    assert data_of_run(own(tmp_path / "b"), tmp_path).split_file == tmp_path / "split.csv"


def test_of_each_class_at_most_so_many_are_learnt_from_and_all_held_out(tmp_path: Path) -> None:
    config = own(tmp_path)
    cut_valid(config, open_split(config, "train"), tmp_path)
    config = data_of_run(config, tmp_path).model_copy(update={"class_limit": 5})
    train = open_split(config, "train")
    assert [sum(s.label == k for s in train.samples) for k in (0, 1)] == [5, 4]
    assert [s.name for s in train.samples] == sorted(s.name for s in train.samples)
    assert list(train.samples) == list(open_split(config, "train").samples)
    assert len(open_split(config, "valid")) == 3


def test_of_each_drawn_class_at_most_so_many_are_learnt_from() -> None:
    config = DataConfig(name="synthetic", samples=40, class_limit=2)
    train = open_split(config, "train")
    assert [sum(s.label == k for s in train.samples) for k in range(8)] == [2] * 8
    assert len(open_split(config, "valid")) == 64


def test_a_name_that_the_split_file_cannot_hold_is_refused_before_the_cut(tmp_path: Path) -> None:
    config = own(tmp_path)
    (tmp_path / "faces/Bored/0.png").rename(tmp_path / "faces/Bored/a\nb.png")
    with pytest.raises(DataError, match="expected names in UTF-8 without line breaks"):
        cut_valid(config, open_split(config, "train"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_classes_that_it_learnt(tmp_path: Path) -> None:
    config = own(tmp_path, valid_share=0.0)
    labels = open_split(config, "train").labels
    write_class_folders(tmp_path / "faces", {"Calm": 1})
    assert data_of_run(config, tmp_path, labels).classes == "bored,happiness"
    assert open_split(config, "train").labels.expressions == ("bored", "calm", "happiness")
    with pytest.raises(
        DataError, match=r"Calm: 1 image of an unknown expression 'Calm' .*expected one of bored, happiness"
    ):
        open_split(data_of_run(config, tmp_path, labels), "train")


def test_every_data_set_has_a_licence() -> None:
    for name in ("ferplus", "synthetic", "rafdb", "sfew", "affectnet7", "affectnet8", "folder", "table"):
        assert LICENSES[name]

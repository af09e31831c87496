"""RAF-DB as users hold it: misspelt list, missing ``_aligned``, zips, and a folder per label."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from crossfer.data.sample import DataError, Dataset
from crossfer.data.source import open_dataset
from crossfer.labels import RAFDB
from data.layouts import RAFDB_LABELS, picture, save, write_rafdb, write_rafdb_folders, zip_folder


def write_zipped(root: Path) -> Path:
    write_rafdb(root)
    zip_folder(root / "Image" / "aligned", root / "Image" / "aligned.zip", inside="aligned/")
    return root


def write_one_zip(root: Path) -> Path:
    write_rafdb(root / "basic")
    return zip_folder(root / "basic", root / "rafdb.zip", inside="basic/")


LAYOUTS = {
    "published": write_rafdb,
    "spelled": partial(write_rafdb, listed="list_partition_label.txt", folder="aligned"),
    "without _aligned": partial(write_rafdb, suffix=""),
    "wrapped": lambda root: write_rafdb(root / "RAF-DB" / "basic").parents[1],
    "zip in place of a folder": write_zipped,
    "one zip": write_one_zip,
    "label folders": write_rafdb_folders,
    "label folders at the root": partial(write_rafdb_folders, top=""),
}


def labels_of(dataset: Dataset) -> dict[str, str]:
    return {sample.name: RAFDB.expressions[sample.label] for sample in dataset.samples}


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same(write: Callable[[Path], Path], tmp_path: Path):
    root = write(tmp_path)
    train, test = open_dataset("rafdb", root, split="train"), open_dataset("rafdb", root)
    assert labels_of(train) == {
        "train_00001.jpg": "sadness",
        "train_00002.jpg": "sadness",
        "train_00003.jpg": "happiness",
        "train_00004.jpg": "neutral",
    }
    assert labels_of(test) == {"test_0001.jpg": "surprise", "test_0002.jpg": "happiness"}
    assert {sample.split for sample in train.samples} == {"train"}
    assert all(train.read(sample).shape == (32, 32, 3) for sample in train.samples)


def test_there_is_no_validation_split_and_the_message_says_how_to_cut_one(tmp_path: Path):
    with pytest.raises(DataError, match=r"RAF-DB has no valid split here; cut one .*data split rafdb"):
        open_dataset("rafdb", write_rafdb(tmp_path), split="valid")


def test_a_wrong_root_says_what_was_sought_and_found(tmp_path: Path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"list_patition_label\.txt with Image/aligned.*, found holiday\.jpg"):
        open_dataset("rafdb", tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        open_dataset("rafdb", tmp_path / "nowhere")


def test_a_half_unpacked_archive_is_told_from_a_whole_one(tmp_path: Path):
    write_rafdb(tmp_path)
    for name in ("train_00002", "train_00003"):
        (tmp_path / "Image" / "aligned" / f"{name}_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"4 images .* 2 of them are missing \(first train_00002\.jpg\)"):
        open_dataset("rafdb", tmp_path, split="train")
    dataset = open_dataset("rafdb", tmp_path, split="train", skip_bad=True)
    assert (len(dataset), len(dataset.skipped)) == (2, 2)


@pytest.mark.parametrize("line", ["train_00009.jpg 8", "train_00009.jpg", "img.jpg 1", "train_00009.jpg 1 2"])
def test_a_bad_line_is_named(line: str, tmp_path: Path):
    path = write_rafdb(tmp_path) / "EmoLabel" / "list_patition_label.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"list_patition_label\.txt, line 7: expected a line such as"):
        open_dataset("rafdb", tmp_path)


def test_a_name_listed_twice_is_named(tmp_path: Path):
    path = write_rafdb(tmp_path) / "EmoLabel" / "list_patition_label.txt"
    path.write_text(f"\n{path.read_text()}\ntrain_00001.jpg 2\n")
    told = r"label\.txt, line 9: lists train_00001\.jpg twice, first in line 2; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("rafdb", tmp_path)


def test_missing_images_are_counted_against_those_of_their_split(tmp_path: Path):
    folders = write_rafdb_folders(tmp_path) / "DATASET"
    (tmp_path / "list_patition_label.txt").write_text(
        "".join(f"{name} {label}\n" for name, label in RAFDB_LABELS.items())
    )
    next(folders.glob("train/*/train_00002*")).unlink()
    listed = sum(name.startswith("train_") for name in RAFDB_LABELS)
    assert listed < len(RAFDB_LABELS)
    with pytest.raises(DataError, match=rf"expected {listed} images that the labels list, 1 of them"):
        open_dataset("rafdb", tmp_path, split="train")


def test_a_folder_that_contradicts_the_list_is_named(tmp_path: Path):
    write_rafdb_folders(tmp_path)
    changed = RAFDB_LABELS | {"train_00001.jpg": 3}
    (tmp_path / "list_patition_label.txt").write_text(
        "".join(f"{name} {label}\n" for name, label in changed.items())
    )
    with pytest.raises(DataError, match=r"lies in the folder of label 5, but the list says 3"):
        open_dataset("rafdb", tmp_path, split="train")


def test_one_image_in_two_label_folders_is_named(tmp_path: Path):
    train = write_rafdb_folders(tmp_path) / "DATASET" / "train"
    save(train / "6" / "train_00001.jpg", picture(9))
    told = r"train/6/train_00001\.jpg: is train_00001\.jpg, as 5/train_00001_aligned\.jpg is too; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("rafdb", tmp_path, split="train")
    dataset = open_dataset("rafdb", tmp_path, split="train", skip_bad=True)
    assert labels_of(dataset)["train_00001.jpg"] == "sadness"
    assert (len(dataset), len(dataset.skipped)) == (4, 1)


def test_a_second_image_of_a_listed_name_is_named(tmp_path: Path):
    aligned = write_rafdb(tmp_path) / "Image" / "aligned"
    save(aligned / "backup" / "test_0002_aligned.jpg", picture(9))
    told = r"backup/test_0002_aligned\.jpg: is test_0002\.jpg, as test_0002_aligned\.jpg is too; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("rafdb", tmp_path)
    dataset = open_dataset("rafdb", tmp_path, skip_bad=True)
    assert [sample.path for sample in dataset.samples][1] == str(aligned / "test_0002_aligned.jpg")
    assert len(dataset.skipped) == 1
    assert len(open_dataset("rafdb", tmp_path, split="train")) == 4


def test_originals_beside_the_aligned_faces_are_left_alone(tmp_path: Path):
    aligned = write_rafdb(tmp_path) / "Image" / "aligned"
    save(aligned / "test_0002.jpg", picture(9))
    dataset = open_dataset("rafdb", tmp_path)
    assert [sample.path for sample in dataset.samples][1] == str(aligned / "test_0002_aligned.jpg")
    assert not dataset.skipped


def test_a_folder_of_no_label_is_named(tmp_path: Path):
    save(write_rafdb_folders(tmp_path) / "DATASET" / "train" / "8" / "train_00009_aligned.jpg", picture(9))
    with pytest.raises(DataError, match="expected a folder 1 to 7, found '8'"):
        open_dataset("rafdb", tmp_path, split="train")

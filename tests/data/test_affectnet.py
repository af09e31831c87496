"""AffectNet in both layouts: a header in one list only, arrays of one number, and an index that is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossfer.data import affectnet
from crossfer.data.columns import SampleColumns, pack
from crossfer.data.sample import DataError, Dataset
from crossfer.data.source import open_dataset
from crossfer.labels import AFFECTNET8
from data.layouts import picture, save, write_affectnet_arrays, write_affectnet_lists, zip_folder

LAYOUTS = pytest.mark.parametrize("write", [write_affectnet_lists, write_affectnet_arrays])


def counts(dataset: Dataset) -> list[int]:
    return np.bincount([sample.label for sample in dataset.samples], minlength=8).tolist()


@LAYOUTS
def test_none_uncertain_and_no_face_are_left_out_and_contempt_too_of_seven(write, tmp_path: Path):
    root = write(tmp_path)
    for split in ("train", "test"):
        assert counts(open_dataset("affectnet8", root, split=split)) == [1, 2, 1, 1, 1, 1, 1, 1]
        assert counts(open_dataset("affectnet7", root, split=split)) == [1, 2, 1, 1, 1, 1, 1, 0]
    assert open_dataset("affectnet8", root).labels is AFFECTNET8


def test_arrays_may_hold_numbers(tmp_path: Path):
    assert len(open_dataset("affectnet8", write_affectnet_arrays(tmp_path, as_text=False))) == 9


def test_faces_are_cut_out_by_their_boxes(tmp_path: Path):
    dataset = open_dataset("affectnet8", write_affectnet_lists(tmp_path))
    assert dataset.samples[0].box == (4, 6, 20, 22)
    assert dataset.read(dataset.samples[0]).shape == (22, 20, 3)


def test_images_that_are_faces_already_are_taken_whole(tmp_path: Path):
    dataset = open_dataset("affectnet8", write_affectnet_lists(tmp_path, box=(40, 60, 200, 220)))
    assert dataset.read(dataset.samples[0]).shape == (32, 32, 3)
    assert dataset.protocol.endswith("images cut to the face already")


def test_parts_as_zips(tmp_path: Path):
    write_affectnet_arrays(tmp_path)
    zip_folder(tmp_path / "val_set", tmp_path / "val_set.zip", inside="val_set/")
    dataset = open_dataset("affectnet7", tmp_path)
    assert len(dataset) == 8
    assert dataset.read(dataset.samples[0]).shape == (32, 32, 3)


@LAYOUTS
def test_the_index_is_kept_until_something_changes(write, tmp_path: Path, cache: Path, monkeypatch):
    root = write(tmp_path)
    first = open_dataset("affectnet8", root, split="train")
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(affectnet, "_index", None)  # would fail if the index were built again
    again = open_dataset("affectnet8", root, split="train")
    assert list(again.samples) == list(first.samples)
    monkeypatch.undo()
    monkeypatch.setenv("CROSSFER_CACHE", str(cache))
    if write is write_affectnet_lists:
        path = root / "Manually_Annotated_file_lists" / "training.csv"
        path.write_text(path.read_text().replace(",0,0.1", ",6,0.1"))
    else:
        np.save(root / "train_set" / "annotations" / "0_exp.npy", np.array("6"))
    assert counts(open_dataset("affectnet8", root, split="train")) == [0, 2, 1, 1, 1, 1, 2, 1]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_cache_that_cannot_be_used_is_not_used(damage: bytes | None, tmp_path: Path, cache: Path):
    root = write_affectnet_arrays(tmp_path)
    open_dataset("affectnet8", root)
    (entry,) = cache.iterdir()
    if damage is None:
        entry.unlink()
        cache.rmdir()
        cache.touch()  # a file where the folder should be
    else:
        entry.write_bytes(damage)
    assert len(open_dataset("affectnet8", root)) == 9


def test_an_image_that_goes_missing_is_noticed_despite_the_index(tmp_path: Path):
    root = write_affectnet_arrays(tmp_path)
    open_dataset("affectnet8", root)
    (root / "val_set" / "images" / "3.jpg").unlink()
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 of them are missing \(first 3\.jpg\)"):
            open_dataset("affectnet8", root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0/x.jpg,1,2,3,4,a,11,0,0", "expected an expression of 0 to 10, found '11'"),
        ("0/x.jpg,1,2,3,4,a,happy,0,0", "expected an expression of 0 to 10, found 'happy'"),
        ("0/x.jpg,1,2,3,nan,a,1,0,0", "expected a face box in pixels"),
        ("0/x.jpg,1", "expected 9 columns, found 2"),
    ],
)
def test_a_bad_row_is_named(line: str, message: str, tmp_path: Path):
    path = write_affectnet_lists(tmp_path) / "Manually_Annotated_file_lists" / "validation.csv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"validation\.csv, line 13: {message}"):
        open_dataset("affectnet8", tmp_path)


def test_an_image_listed_twice_is_named_and_the_first_is_kept(tmp_path: Path):
    path = write_affectnet_lists(tmp_path) / "Manually_Annotated_file_lists" / "validation.csv"
    again = path.read_text().splitlines()[6].replace(",6,0.1", ",1,0.1")
    path.write_text(f"{path.read_text()}{again}\n")
    told = r"validation\.csv, line 13: lists 0/validation0006\.jpg twice, first in line 7; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("affectnet8", tmp_path)
    dataset = open_dataset("affectnet8", tmp_path, skip_bad=True)
    assert counts(dataset) == [1, 2, 1, 1, 1, 1, 1, 1]
    assert len(dataset.skipped) == 1


def test_an_image_that_is_listed_as_no_face_and_as_an_expression_is_named(tmp_path: Path):
    path = write_affectnet_lists(tmp_path) / "Manually_Annotated_file_lists" / "validation.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[6].replace(",6,0.1", ",10,0.1"), *lines[1:], ""]))
    told = r"validation\.csv, line 8: lists 0/validation0006\.jpg twice, first in line 2; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("affectnet8", tmp_path)
    dataset = open_dataset("affectnet8", tmp_path, skip_bad=True)
    assert "0/validation0006.jpg" not in {sample.path[-20:] for sample in dataset.samples}
    assert (sum(counts(dataset)), len(dataset.skipped)) == (8, 1)


def test_a_second_image_of_what_shows_no_face_does_not_matter(tmp_path: Path):
    images = write_affectnet_arrays(tmp_path) / "val_set" / "images"
    save(images / "9.png", picture(9))
    save(images / "9.jpg", picture(9))
    assert len(open_dataset("affectnet8", tmp_path)) == 9


def test_a_header_of_another_order_is_refused(tmp_path: Path):
    path = write_affectnet_lists(tmp_path) / "Manually_Annotated_file_lists" / "training.csv"
    path.write_text(path.read_text().replace("face_x,face_y", "face_y,face_x", 1))
    with pytest.raises(DataError, match=r"training\.csv, line 1: expected the header subDirectory"):
        open_dataset("affectnet8", tmp_path, split="train")


def test_a_second_image_of_a_label_is_named(tmp_path: Path):
    images = write_affectnet_arrays(tmp_path) / "val_set" / "images"
    save(images / "5.png", picture(9))
    with pytest.raises(DataError, match=r"images/5\.png: is 5, as 5\.jpg is too; leave one"):
        open_dataset("affectnet8", tmp_path)
    dataset = open_dataset("affectnet8", tmp_path, skip_bad=True)
    assert str(images / "5.jpg") in {sample.path for sample in dataset.samples}
    assert (len(dataset), len(dataset.skipped)) == (9, 1)


def test_a_pickled_annotation_is_refused(tmp_path: Path):
    root = write_affectnet_arrays(tmp_path)
    np.save(root / "val_set" / "annotations" / "0_exp.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"0_exp\.npy: expected one expression as NumPy array"):
        open_dataset("affectnet8", root)


def test_an_image_costs_little_more_than_its_path():
    names = [f"{i % 1000}/{i:032x}.jpg" for i in range(20_000)]
    columns = SampleColumns("/data", pack(names), np.zeros(20_000), "train", boxes=np.zeros((20_000, 4)))
    arrays = (columns.text, columns.ends, columns.labels, columns.boxes)
    assert sum(array.nbytes for array in arrays if array is not None) / 20_000 <= len(names[-1]) + 21
    assert columns[-1].path == f"/data/{names[-1]}"
    assert [s.path for s in columns[1:3]] == [f"/data/{name}" for name in names[1:3]]
    assert [s.path for s in columns.take([5, 2]).take([1])] == [f"/data/{names[2]}"]
    with pytest.raises(IndexError):
        columns[20_000]


def test_a_stray_quotation_mark_is_named_by_its_line(tmp_path: Path):
    root = write_affectnet_lists(tmp_path)
    with (root / "Manually_Annotated_file_lists" / "validation.csv").open("a") as table:
        table.write('"' + "0,0\n" * 50_000)
    with pytest.raises(
        DataError, match=r"validation\.csv, line \d+: expected a line of CSV .*stray quotation"
    ):
        open_dataset("affectnet8", root, skip_bad=True)

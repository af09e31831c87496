"""SFEW 2.0: capitalised class folders, and a validation part that serves as test."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest

from crossfer.data.sample import DataError
from crossfer.data.source import open_dataset
from crossfer.labels import SFEW
from data.layouts import write_sfew, zip_folder


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts(between: bool, zipped: bool, tmp_path: Path):
    write_sfew(tmp_path, between)
    if zipped:
        for part in ("Train", "Val"):
            folder = tmp_path / part / f"{part}_Aligned_Faces" if between else tmp_path / part
            zip_folder(folder, folder.with_name(f"{folder.name}.zip"))
    train, test = open_dataset("sfew", tmp_path, split="train"), open_dataset("sfew", tmp_path)
    assert (len(train), len(test)) == (14, 7)
    assert [SFEW.expressions[s.label] for s in test.samples] == list(SFEW.expressions)
    assert test.protocol == "official validation part as test"
    assert train.read(train.samples[3]).shape == (32, 32, 3)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_faces_of_validation_in_a_folder_called_new(beside: bool, zipped: bool, tmp_path: Path):
    write_sfew(tmp_path)
    new = (tmp_path if beside else tmp_path / "Val") / "Val_Aligned_Faces_new"
    (tmp_path / "Val" / "Val_Aligned_Faces").rename(new)
    if zipped:
        zip_folder(new, new.with_name(f"{new.name}.zip"), inside=f"{new.name}/")
    assert len(open_dataset("sfew", tmp_path)) == 7
    assert len(open_dataset("sfew", tmp_path, split="train")) == 14


@pytest.mark.parametrize("inside", ["", "Val_Aligned_Faces/"])
def test_a_zip_called_new_need_hold_no_folder_called_new(inside: str, tmp_path: Path):
    faces = write_sfew(tmp_path) / "Val" / "Val_Aligned_Faces"
    zip_folder(faces, tmp_path / "Val" / "Val_Aligned_Faces_new.zip", inside=inside)
    assert len(open_dataset("sfew", tmp_path)) == 7


@pytest.mark.parametrize("beside", [False, True])
def test_faces_in_two_folders_are_refused(beside: bool, tmp_path: Path):
    faces = write_sfew(tmp_path) / "Val" / "Val_Aligned_Faces"
    if beside:
        faces = faces.rename(tmp_path / faces.name)
    copytree(faces, faces.with_name(f"{faces.name}_new"))
    told = (
        r"faces of Val in one folder or zip, found .*Val_Aligned_Faces and .*Val_Aligned_Faces_new; move away"
    )
    with pytest.raises(DataError, match=told):
        open_dataset("sfew", tmp_path, skip_bad=True)
    assert len(open_dataset("sfew", tmp_path, split="train")) == 14


def test_an_unknown_class_and_a_wrong_root_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected SFEW 2\.0 as Val/Val_Aligned_Faces.*found nothing in it"):
        open_dataset("sfew", tmp_path)
    write_sfew(tmp_path)
    (tmp_path / "Val" / "Val_Aligned_Faces" / "Happy").rename(
        tmp_path / "Val" / "Val_Aligned_Faces" / "Bored"
    )
    with pytest.raises(DataError, match=r"unknown expression 'Bored' .*, surprise$"):
        open_dataset("sfew", tmp_path)

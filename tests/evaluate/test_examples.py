"""Pictures for a report, read again from where the data set lay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossfer.console import as_json
from crossfer.data.fingerprint import pixel_digest
from crossfer.data.sample import Dataset
from crossfer.data.source import open_dataset
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.examples import choose_examples, read_again
from crossfer.evaluate.illustrations import example_pictures
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.run_file import Run
from crossfer.images.read import load_image
from data.layouts import picture, save, write_affectnet_lists, write_class_folders


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_image_in_a_zip_is_read_again(tmp_path: Path, wrapped: bool):
    faces = write_class_folders(tmp_path / "whole" / "faces", {"fear": 2, "anger": 2})
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", faces.parent if wrapped else faces)
    for root in (faces, Path(archive)):
        dataset = open_dataset("folder", root)
        for sample in dataset.samples:
            np.testing.assert_array_equal(read_again(sample.path), dataset.read(sample))


def test_a_name_that_is_no_utf8_is_found_by_what_a_run_file_says(tmp_path: Path):
    faces = write_class_folders(tmp_path / "faces", {"fear": 1})
    image = (faces / "fear" / "0.png").rename(faces / "fear" / "caf\udce9.png")
    written = json.loads(as_json({"path": str(image)}))["path"]
    assert written.endswith("caf\\udce9.png")
    np.testing.assert_array_equal(read_again(written), load_image(image))


def test_an_image_that_is_not_at_hand_is_none(tmp_path: Path):
    faces = write_class_folders(tmp_path / "faces", {"fear": 1})
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", faces)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(Path(archive).read_bytes()[:-40])
    (tmp_path / "text.png").write_text("no image")
    for name in ("gone.png", "text.png", "data.zip/fear/9.png", "broken.zip/fear/0.png"):
        assert read_again(f"{tmp_path}/{name}") is None


def right_answers(dataset: Dataset) -> Predictions:
    """Run of a model that answers rightly."""
    labels = dataset.labels.expressions
    truth = np.array([sample.label for sample in dataset.samples])
    return Predictions(
        About(dataset.name, "test", dataset.protocol, "none", "net", "abc", labels),
        tuple(sample.path for sample in dataset.samples),
        tuple(pixel_digest(dataset.read(sample)).tobytes().hex() for sample in dataset.samples),
        truth,
        np.eye(len(labels), dtype=np.float32)[truth],
        np.eye(len(labels))[truth],
    )


def test_an_image_that_was_replaced_is_not_shown(tmp_path: Path):
    faces = write_class_folders(tmp_path / "faces", {"fear": 1, "anger": 1})
    answers = right_answers(open_dataset("folder", faces))
    save(faces / "fear" / "0.png", picture(7))
    shown = {example.truth: example.pixels for example in choose_examples(answers)}
    assert shown["fear"] is None
    np.testing.assert_array_equal(shown["anger"], load_image(faces / "anger" / "0.png"))
    told = []
    pictures = example_pictures([Run("mine", measure(answers), answers)], None, told.append)
    assert [example.truth for example, _ in pictures["mine"]] == ["anger"]
    place = faces / "fear" / "0.png"
    assert told == [f"mine: 1 of 2 examples are not shown: no image at {place}, or another than was answered"]


def test_of_a_face_that_was_cut_out_the_whole_photo_is_not_shown(tmp_path: Path):
    answers = right_answers(open_dataset("affectnet7", write_affectnet_lists(tmp_path)))
    assert [example.pixels for example in choose_examples(answers)] == [None] * 7
    faces = right_answers(open_dataset("affectnet7", write_affectnet_lists(tmp_path, box=(40, 60, 200, 220))))
    assert all(example.pixels is not None for example in choose_examples(faces))

"""Pictures for a report, read again from where the data set lay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossfer.console import as_json
from crossfer.data.source import open_dataset
from crossfer.evaluate.examples import read_again
from crossfer.images.read import load_image
from data.layouts import write_class_folders


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

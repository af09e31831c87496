"""The picture that is measured with."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from crossfer.bench import photo
from crossfer.bench.photo import LONG_SIDES, open_photo
from crossfer.images.read import ImageError, load_image
from crossfer.runtime.align import CropGeometry


def test_the_install_brings_a_picture_with_a_face():
    photos = open_photo(None)
    assert [one.size for one in photos.sizes] == [(640, 480), (1920, 1440)]
    assert [len(one.faces) for one in photos.sizes] == [1, 1]
    assert photos.original == (512, 384)
    face = photos.face(CropGeometry())
    assert face.shape == (48, 48, 3)
    assert face.dtype == np.uint8


def test_the_users_own_keeps_its_shape_and_is_measured_from_a_file_in_memory(astronaut, tmp_path):
    Image.fromarray(astronaut[:, 100:400]).save(tmp_path / "tall.png")
    photos = open_photo(tmp_path / "tall.png")
    assert photos.name == "tall.png", "not its folder: the output is made to be shown to others"
    assert [one.size for one in photos.sizes] == [(375, 640), (1125, 1920)]
    assert [max(one.size) for one in photos.sizes] == list(LONG_SIDES)
    for one in photos.sizes:
        assert one.jpeg[:2] == b"\xff\xd8"
        assert np.array_equal(load_image(one.jpeg), one.pixels)
    assert photos.to_dict()["sizes"][1] == {"size": [1125, 1920], "faces": 1}


def test_a_picture_without_a_face_is_refused(tmp_path):
    Image.new("RGB", (300, 200), "gray").save(tmp_path / "wall.png")
    with pytest.raises(ImageError, match=r"wall\.png: expected a photo with a face, found none at 640 x 427"):
        open_photo(tmp_path / "wall.png")


def test_without_the_portrait_a_photo_is_asked_for(monkeypatch):
    monkeypatch.setattr(photo, "find_spec", lambda name: None if name == "skimage" else find_spec(name))
    with pytest.raises(ImageError, match="name a PHOTO"):
        open_photo(None)

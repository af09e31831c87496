from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crossfer.runtime.align import CropGeometry, Square, crop_face, crop_square, cut_square
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.detection import Detection
from crossfer.stored import from_plain, to_plain
from crossfer.types import Box

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LANDMARKS = ((40.0, 40.0), (60.0, 40.0), (50.0, 52.0), (42.0, 64.0), (58.0, 64.0))  # eyes to mouth: 24
FACE = Detection(Box(30, 20, 40, 60), 0.9, LANDMARKS)


def moved(zoom: float, x: float, y: float) -> Detection:
    box = FACE.box
    return Detection(
        Box(box.x * zoom + x, box.y * zoom + y, box.width * zoom, box.height * zoom),
        FACE.score,
        tuple((a * zoom + x, b * zoom + y) for a, b in FACE.landmarks),
    )


def test_a_square_in_closed_form():
    # The middle of eyes and mouth is (50, 52), the box's centre x is 50, the side 2 * 24 = 48.
    assert crop_square(FACE.box, FACE.landmarks, CropGeometry(2.0, 0.0, 0.0)) == Square(26, 28, 48)
    assert crop_square(FACE.box, FACE.landmarks, CropGeometry(2.0, 0.25, -0.5)) == Square(38, 4, 48)


def test_without_landmarks_the_square_is_that_of_the_longer_side_about_the_centre():
    geometry = CropGeometry(2.0, 0.25, -0.5)
    assert crop_square(FACE.box, (), geometry) == Square(20, 20, 60)
    assert crop_square(Box(30, 20, 80, 60), (), geometry) == Square(30, 10, 80)
    assert crop_square(Box(30, 20, 0.1, 0.2), (), geometry).side == 1


def test_the_centre_lies_half_way_to_the_box_in_x_only():
    shifted = Box(FACE.box.x + 8, FACE.box.y + 8, FACE.box.width, FACE.box.height)
    assert crop_square(shifted, FACE.landmarks, CropGeometry(2.0, 0.0, 0.0)) == Square(30, 28, 48)


@given(zoom=st.floats(0.2, 20), x=st.floats(-500, 500), y=st.floats(-500, 500))
@settings(max_examples=100)
def test_the_square_moves_and_grows_with_the_face(zoom, x, y):
    geometry = CropGeometry()
    still, face = crop_square(FACE.box, FACE.landmarks, geometry), moved(zoom, x, y)
    square = crop_square(face.box, face.landmarks, geometry)
    assert square.side == pytest.approx(zoom * still.side, abs=zoom + 1)
    assert square.left == pytest.approx(zoom * still.left + x, abs=zoom + 1)
    assert square.top == pytest.approx(zoom * still.top + y, abs=zoom + 1)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=5, max_size=5))
def test_landmarks_that_contradict_the_box_do_not_blow_up_the_crop(landmarks):
    square = crop_square(FACE.box, landmarks, CropGeometry())
    assert 1 <= square.side <= 4 * 60


@given(left=st.integers(-40, 60), top=st.integers(-40, 60), side=st.integers(1, 50))
@settings(max_examples=100)
def test_cutting_agrees_with_padding_by_repetition(left, top, side):
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    padded = np.pad(image, ((150, 150), (150, 150), (0, 0)), mode="edge")
    expected = padded[top + 150 : top + 150 + side, left + 150 : left + 150 + side]
    assert np.array_equal(cut_square(image, Square(left, top, side)), expected)


def test_a_crop_is_square_rgb(astronaut):
    (face,) = CenterFace(threads=1).detect(astronaut)
    crop = crop_face(astronaut, face, CropGeometry())
    assert crop.dtype == np.uint8
    assert crop.shape == (crop.shape[0], crop.shape[0], 3)
    assert 100 < crop.shape[0] < 140


def test_the_geometry_survives_its_plain_form():
    geometry = CropGeometry(2.5, 0.1, -0.2)
    assert from_plain(CropGeometry, to_plain(geometry), "crop") == geometry


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 2.0, "shift_x": 0.0}, "crop.shift_y: expected a number, found nothing"),
        ({"scale": 2.0, "shift_x": 0.0, "shift_y": 0.0, "angle": 1}, "expected the keys .* also 'angle'"),
        ({"scale": "2", "shift_x": 0.0, "shift_y": 0.0}, "crop.scale: expected a number, found '2'"),
        ({"scale": 2.0, "shift_x": 0.0, "shift_y": False}, "crop.shift_y: expected a number, found False"),
        ({"scale": -1.0, "shift_x": 0.0, "shift_y": 0.0}, "expected a positive number, got -1.0"),
        ({"scale": float("nan"), "shift_x": 0.0, "shift_y": 0.0}, "crop.scale: expected a number, found nan"),
        ({"scale": 2.0, "shift_x": 3.0, "shift_y": 0.0}, "expected fractions between -1 and 1"),
    ],
)
def test_a_bad_geometry_says_what_is_expected(values, message):
    with pytest.raises(ValueError, match=message):
        from_plain(CropGeometry, values, "crop")


def test_the_crop_recovers_the_frame_of_ferplus_training_faces(ferplus_root, monkeypatch):
    """The crop contract: the runtime cuts out of a photo what training saw, within the measured spread."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import crop_contract

    faces = crop_contract.training_faces(ferplus_root, count=100, seed=7)
    detector, geometry, enlargement = CenterFace(threads=1), CropGeometry(), 3
    scales, shifts = [], []
    for face in faces:
        padded = Image.fromarray(crop_contract.PADDINGS["mean grey"](face)).convert("RGB")
        photo = np.asarray(padded.resize((96 * enlargement,) * 2, Image.Resampling.BICUBIC))
        found = detector.detect(photo)
        if not found:
            continue
        square = crop_square(found[0].box, found[0].landmarks, geometry)
        frame = 48 * enlargement
        scales.append(np.log(square.side / frame))
        middle = np.array([square.left, square.top]) + square.side / 2
        shifts.append((middle - 48 * enlargement) / frame)
    # benchmarks/crop_contract.py, n = 1500, seed 0: standard deviations 0.131 (log side), 0.051 (x and y).
    assert len(scales) >= 0.95 * len(faces)
    assert abs(np.median(scales)) < 0.04
    assert np.std(scales) < 0.17
    assert np.abs(np.median(shifts, axis=0)).max() < 0.02
    assert np.std(shifts, axis=0).max() < 0.075

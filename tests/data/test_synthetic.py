"""Drawn faces: deterministic, balanced, and different between splits."""

from __future__ import annotations

import numpy as np

from crossfer.data.synthetic import load_synthetic
from crossfer.labels import FERPLUS


def test_a_face_depends_on_seed_split_and_index_alone() -> None:
    first, again = load_synthetic(samples=16), load_synthetic(samples=16)
    other = load_synthetic(samples=16, split="valid")
    for a, b, c in zip(first.samples, again.samples, other.samples, strict=True):
        np.testing.assert_array_equal(first.read(a), again.read(b))
        assert (first.read(a) != other.read(c)).any()
        assert first.read(a).shape == (96, 96, 3)
        assert first.read(a).dtype == np.uint8


def test_classes_take_turns_and_votes_lean_to_the_drawn_one() -> None:
    dataset = load_synthetic(samples=40)
    assert np.bincount([s.label for s in dataset.samples]).tolist() == [5] * len(FERPLUS)
    for sample in dataset.samples:
        assert sample.votes is not None
        np.testing.assert_allclose(sum(sample.votes), 1)
        assert int(np.argmax(sample.votes)) == sample.label

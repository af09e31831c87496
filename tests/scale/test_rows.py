"""What the rows of a shard are counted as."""

from __future__ import annotations

import numpy as np
import pytest

from crossfer.scale.entries import Entry
from crossfer.scale.faults import Fault
from crossfer.scale.reading import Image
from crossfer.scale.rows import BINS, MOST_FACES, Rows
from crossfer.types import Box, Face, Prediction


def face(confidence: float, abstained: bool | None = None) -> Face:
    nothing = np.zeros(0, np.float32)
    probabilities = {"neutral": confidence, "fear": 1 - confidence}
    return Face(Box(0, 0, 9, 9), (), None, Prediction(probabilities, nothing, nothing, None, abstained))


def tally_of(*images: list[Face] | Fault):
    found = Rows(("neutral", "fear"), "abc")
    for number, seen in enumerate(images):
        image = Image(Entry("file", b"%d.png" % number), number, None, b"")
        found.add_fault(image, None, seen) if isinstance(seen, Fault) else found.add(image, "f", (9, 9), seen)
    return found.tally, found.table()


@pytest.mark.parametrize(
    ("confidence", "place"), [(0.5, 10), (0.549, 10), (0.55, 11), (0.96, BINS - 1), (1.0, BINS - 1)]
)
def test_confidence_is_counted_in_equal_steps_of_which_the_last_holds_1(confidence: float, place: int):
    tally, _ = tally_of([face(confidence)])
    assert tally.confidence == {place: 1}


def test_images_are_counted_by_faces_and_those_with_very_many_together():
    few, many = [face(0.9, False), face(0.3, True)], [face(0.9)] * (MOST_FACES + 3)
    fault = Fault("decoding", "first"), Fault("decoding", "second")
    tally, table = tally_of(few, [], many[:MOST_FACES], fault[0], many, fault[1])
    assert tally.faces_an_image == {2: 1, 0: 1, MOST_FACES: 2}
    assert (tally.images, tally.faces, tally.uncertain) == (6, 2 * MOST_FACES + 5, 1)
    assert tally.expressions == {"neutral": 2 * MOST_FACES + 4, "fear": 1}
    assert (tally.errors, tally.examples) == ({"decoding": 2}, {"decoding": "first"})
    assert table.num_rows == tally.faces + 3

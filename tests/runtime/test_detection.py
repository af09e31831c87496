import json

import numpy as np
import pytest

from crossfer.runtime.detection import Detection
from crossfer.types import Box

POINTS = ((20.0, 30.0), (40.0, 30.0), (30.0, 40.0), (22.0, 50.0), (38.0, 50.0))


@pytest.mark.parametrize(
    ("box", "score", "landmarks", "message"),
    [
        (Box(0, 0, 9, 9), 0.9, ((),), "landmarks: expected five points"),
        (Box(0, 0, 9, 9), 0.9, POINTS[:4], "landmarks: expected five points"),
        (Box(0, 0, 9, 9), 0.9, ((np.nan, 0.0), *POINTS[1:]), "landmarks: expected five points"),
        (
            [0, 0, 9, 9],
            0.9,
            POINTS,
            r"box: expected a crossfer.Box\(x, y, width, height\), got \[0, 0, 9, 9\]",
        ),
        (Box(0, 0, 0, 9), 0.9, POINTS, "box: expected one with a width and a height above 0"),
        (Box(0, 0, 9, np.inf), 0.9, POINTS, "box: expected one with a width and a height above 0"),
        (Box(0, 0, 9, 9), 99.0, POINTS, "score: expected a number from 0 to 1, got 99"),
        (Box(0, 0, 9, 9), np.nan, POINTS, "score: expected a number from 0 to 1, got nan"),
    ],
)
def test_a_detection_that_cannot_be_one_says_what_is_expected(box, score, landmarks, message):
    with pytest.raises(ValueError, match=message):
        Detection(box, score, landmarks)


def test_a_detection_holds_plain_numbers_whatever_it_was_made_of():
    values = np.float32([1, 2, 9, 9])
    made = Detection(Box(*values), np.float32(0.5), np.float32(POINTS))  # type: ignore[arg-type]
    assert made == Detection(Box(1.0, 2.0, 9.0, 9.0), 0.5, POINTS)
    for none in ((), [], None, np.empty(0), np.empty((0, 2))):
        assert Detection(made.box, 0.5, none).landmarks == Detection(made.box, 0.5).landmarks == ()  # type: ignore[arg-type]
    assert json.dumps([made.box.x, made.score, made.landmarks])

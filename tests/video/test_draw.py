import numpy as np
import pytest

from crossfer import Recognizer
from crossfer.runtime.detection import Detection
from crossfer.types import Box
from crossfer.video import Frame, VideoRecognizer, draw_frame
from support.clips import background


class Nobody:
    """A detector that sees no face."""

    def detect(self, image):
        return []


class Somebody:
    """A detector that sees one face at one place."""

    def detect(self, image):
        points = ((80.0, 80.0), (110.0, 80.0), (95.0, 95.0), (80.0, 110.0), (110.0, 110.0))
        return [Detection(Box(60.0, 60.0, 70.0, 70.0), 0.9, points)]


@pytest.mark.parametrize(("detector", "drawn"), [(Nobody(), False), (Somebody(), True)])
def test_what_is_drawn_is_a_copy_of_ones_own(tiny_model, detector, drawn):
    working = VideoRecognizer(Recognizer(tiny_model, detector, threads=1))
    working.push(Frame(0, 0.0, background()))
    (frame,) = working.finish()
    picture = draw_frame(frame)
    assert (picture.dtype, picture.shape) == (np.uint8, background().shape)
    assert (picture != background()).any() == drawn
    picture[:] = 0  # as where something else is drawn into it
    assert (frame.pixels == background()).all()


def test_what_no_video_gave_is_one_clear_sentence():
    with pytest.raises(
        TypeError, match="expected a frame that recognize_video or VideoRecognizer gives, got Fra"
    ):
        draw_frame(Frame(0, 0.0, background()))  # pyright: ignore[reportArgumentType]

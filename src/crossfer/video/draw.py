"""Draws people and their expressions into a frame."""

from __future__ import annotations

import numpy as np
from PIL import Image

from crossfer.runtime.annotate import draw_face
from crossfer.types import Face
from crossfer.video.frames import RecognizedFrame


def draw_frame(recognized: RecognizedFrame) -> np.ndarray:
    """A copy of a frame with a box around each face, in the person's colour, and the smoothed expression.

    Example::

        import crossfer.video
        from PIL import Image

        for frame in crossfer.video.recognize_video("talk.mp4"):
            Image.fromarray(crossfer.video.draw_frame(frame)).save(f"{frame.index:06}.png")

    Args:
        recognized: a frame as ``recognize_video`` or ``VideoRecognizer`` gives it.

    Returns:
        uint8 RGB of the frame's shape (H, W, 3), also of a frame without faces, to do with as one likes.

    Raises:
        TypeError: if it is something else.
    """
    if not isinstance(recognized, RecognizedFrame):
        raise TypeError(
            f"expected a frame that recognize_video or VideoRecognizer gives, got {type(recognized).__name__}"
        )
    picture = Image.fromarray(recognized.pixels)
    unit = max(picture.size) / 100
    for face in sorted(recognized.faces, key=lambda face: face.box.area):
        plain = Face(face.box, face.landmarks, face.detection_score, face.smoothed)
        draw_face(picture, plain, face.track, 1.0, unit)
    return np.array(picture)

"""Draws people and their expressions into a frame."""

from __future__ import annotations

import numpy as np
from PIL import Image

from crossfer.runtime.annotate import draw_face
from crossfer.types import Face
from crossfer.video.frames import RecognizedFrame


def draw_frame(recognized: RecognizedFrame) -> np.ndarray:
    """A copy of a frame with a box around each face, in the person's colour, and the smoothed expression.

    Returns:
        uint8 RGB of the frame's shape (H, W, 3).
    """
    if not recognized.faces:
        return recognized.pixels
    picture = Image.fromarray(recognized.pixels)
    unit = max(picture.size) / 100
    for face in sorted(recognized.faces, key=lambda face: face.box.area):
        plain = Face(face.box, face.landmarks, face.detection_score, face.smoothed)
        draw_face(picture, plain, face.track, 1.0, unit)
    return np.asarray(picture)

"""The crop contract: from a detected face to the square that a model was trained to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfer.runtime.detection import Detection, Point
from crossfer.types import Box


@dataclass(frozen=True)
class CropGeometry:
    """Where the square crop lies, relative to the eyes and the mouth.

    With m the middle between the eyes, n the middle between the mouth corners, c = (m + n) / 2 and d their
    distance, the crop has side ``scale * d``. Its centre lies at c, moved half-way to the box's centre in x
    (on turned heads c wanders to one side, the box less so), and by ``shift_x`` and ``shift_y`` sides. The
    crop is not rotated.

    The defaults are medians over FERPlus training faces, so that a crop meets FER2013's framing:
    ``python benchmarks/crop_contract.py --root FERPLUS_DIR`` (n = 1500, seed 0, 98.8 % found). The size comes
    from the landmarks and not from the box because FER2013's frames cut the chin, and a box shrinks with the
    face that is left: eye-mouth distance over box height is 0.38 there, 0.34 on skimage's uncut astronaut.

    Attributes:
        scale: side of the crop in eye-mouth distances.
        shift_x: offset of the crop's centre to the right, as a fraction of its side; 0 by mirror symmetry.
        shift_y: offset of the crop's centre downwards, as a fraction of its side.
    """

    scale: float = 2.83
    shift_x: float = 0.0
    shift_y: float = -0.076

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"crop scale: expected a positive number, got {self.scale}")
        if not (abs(self.shift_x) < 1 and abs(self.shift_y) < 1):
            raise ValueError(
                f"crop shift: expected fractions between -1 and 1, got {self.shift_x}, {self.shift_y}"
            )


@dataclass(frozen=True)
class Square:
    """A square in whole pixels of an image; it may reach beyond the image."""

    left: int
    top: int
    side: int


def crop_square(box: Box, landmarks: Sequence[Point], geometry: CropGeometry) -> Square:
    """The square that a geometry cuts for a face; without landmarks that of the box's longer side.

    Args:
        box: the face in pixels.
        landmarks: right eye, left eye, nose tip, right and left mouth corner as (x, y) in pixels, or none.
            The square then lies about the centre of the box, which costs some accuracy
            (``benchmarks/crop_contract.py --accuracy``).
        geometry: where the crop lies relative to the landmarks.
    """
    if not len(landmarks):
        side = max(1.0, box.width, box.height)
        x, y = box.center
        return Square(round(x - side / 2), round(y - side / 2), round(side))
    points = np.asarray(landmarks, dtype=np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    # Landmarks that contradict their box must not fill the memory.
    largest = 4 * max(box.width, box.height)
    side = max(1.0, min(largest, geometry.scale * float(np.hypot(*(mouth - eyes)))))
    middle_x, middle_y = (eyes + mouth) / 2
    left = (middle_x + box.center[0]) / 2 + (geometry.shift_x - 0.5) * side
    top = middle_y + (geometry.shift_y - 0.5) * side
    return Square(round(float(left)), round(float(top)), round(side))


def crop_face(image: np.ndarray, detection: Detection, geometry: CropGeometry) -> np.ndarray:
    """Cuts a face out of an image; beyond the image's edge its outermost pixels are repeated.

    Repeating comes closer to what FER2013 shows there than grey, black or mirrored pixels
    (``benchmarks/crop_contract.py``).

    Args:
        image: uint8 RGB, shape (H, W, 3).
        detection: a face in pixels of ``image``.
        geometry: where the crop lies relative to the landmarks.

    Returns:
        uint8 RGB, shape (side, side, 3).
    """
    return cut_square(image, crop_square(detection.box, detection.landmarks, geometry))


def cut_square(image: np.ndarray, square: Square) -> np.ndarray:
    """The pixels of a square, repeated beyond the image's edge: uint8 RGB, shape (side, side, 3)."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(square.top, square.top + square.side), 0, height - 1)
    columns = np.clip(np.arange(square.left, square.left + square.side), 0, width - 1)
    return image[rows[:, None], columns]

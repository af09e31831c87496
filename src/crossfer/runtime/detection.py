"""A face as a detector sees it, and what a detector is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crossfer.types import Box

Point = tuple[float, float]


@dataclass(frozen=True)
class Detection:
    """A face as the detector saw it, in pixels of the image given.

    Attributes:
        box: the face from forehead to chin, as far as it lies inside the image.
        score: confidence in 0..1 that this is a face.
        landmarks: right eye, left eye, nose tip, right and left mouth corner as (x, y); the person's own
            right is on the left of an upright image. The crop follows from them; from the box if there are
            none.

    Raises:
        ValueError: if the box is none or empty, the score not in 0..1, or the landmarks are neither five
            points nor none.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        points = np.asarray(() if self.landmarks is None else self.landmarks, np.float64)
        if points.shape not in ((5, 2), (0,), (0, 2)) or not np.isfinite(points).all():
            raise ValueError(
                "landmarks: expected five points (x, y), right eye, left eye, nose tip, right and left mouth "
                f"corner, or none, got {self.landmarks}"
            )
        if not isinstance(self.box, Box):
            raise ValueError(f"box: expected a crossfer.Box(x, y, width, height), got {self.box!r}")
        box = Box(*(float(getattr(self.box, key)) for key in ("x", "y", "width", "height")))
        if not (math.isfinite(box.x + box.y + box.area) and box.width > 0 and box.height > 0):
            raise ValueError(f"box: expected one with a width and a height above 0, got {self.box}")
        if not 0 <= self.score <= 1:
            raise ValueError(f"score: expected a number from 0 to 1, got {self.score}")
        # Detectors give NumPy's numbers, which JSON does not know.
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "landmarks", tuple((float(x), float(y)) for x, y in points))


class Detector(Protocol):
    """Anything that finds faces in uint8 RGB pixels of shape (H, W, 3)."""

    def detect(self, image: np.ndarray) -> Sequence[Detection]:
        """The faces found, in any order."""
        ...


def detect(detector: Detector, image: np.ndarray) -> tuple[Detection, ...]:
    """What a detector finds in uint8 RGB pixels of shape (H, W, 3), in its order.

    Raises:
        TypeError: if a detector of one's own gives something else than detections.
    """
    found, name = detector.detect(image), f"{type(detector).__name__}.detect"
    if found is None:  # as that of facenet-pytorch says that there is no face
        raise TypeError(f"detector: expected {name} to give a list, empty for no face, got None")
    found = tuple(found)
    for face in found:
        if not isinstance(face, Detection):
            raise TypeError(
                f"detector: expected {name} to give crossfer.Detection, got {type(face).__name__}"
            )
    return found

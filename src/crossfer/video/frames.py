"""What goes through the pipeline: frames as they were read, and frames with the people in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossfer.types import Box, Prediction

NUMBER = int | float | np.integer | np.floating  # what times and settings may be


@dataclass(frozen=True)
class Frame:
    """One frame of a video as a player shows it: upright, with square pixels.

    Attributes:
        index: number of the frame in the video, from 0.
        time: when it is shown, in seconds from the start of the file; of a stream or camera, from its first
            frame; of a camera that sends JPEG pictures without times, when it came, from the first.
        pixels: uint8 RGB, shape (H, W, 3); every frame of a video has the size of the first.
    """

    index: int
    time: float
    pixels: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True)
class TrackedFace:
    """One person's face in one frame.

    Attributes:
        track: number of the person, from 1 in the order of appearance; it stays the same as long as the
            person is followed. Somebody who was out of sight for longer than a second gets a new one.
        box: the face in pixels of the frame.
        landmarks: right eye, left eye, nose tip, right and left mouth corner as (x, y) in pixels.
        detection_score: the detector's score in 0..1; None in a frame that the detector did not look at,
            where box and landmarks lie on the line between the frames before and after.
        raw: the expression in this frame alone.
        smoothed: the expression with what the person showed just before; see ``Smoother``. Its ``logits`` and
            ``evidence`` are those of this frame. It has no prediction set, whose promise holds for single
            images only.
    """

    track: int
    box: Box
    landmarks: tuple[tuple[float, float], ...]
    detection_score: float | None
    raw: Prediction
    smoothed: Prediction

    @property
    def expression(self) -> str:
        """The most probable expression after smoothing."""
        return self.smoothed.expression

    @property
    def confidence(self) -> float:
        """Its probability in 0..1."""
        return self.smoothed.confidence

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "track": self.track,
            "box": self.box.to_dict(),
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "detection_score": None if self.detection_score is None else round(self.detection_score, 4),
            "raw": self.raw.to_dict(),
            "smoothed": self.smoothed.to_dict(),
        }


@dataclass(frozen=True)
class RecognizedFrame:
    """One frame and the people in it.

    Attributes:
        frame: the frame itself.
        faces: one a person, in the order of their numbers; empty if nobody is in sight.
    """

    frame: Frame
    faces: tuple[TrackedFace, ...]

    @property
    def index(self) -> int:
        """Number of the frame in the video, from 0."""
        return self.frame.index

    @property
    def time(self) -> float:
        """When the frame is shown, in seconds from the start."""
        return self.frame.time

    @property
    def pixels(self) -> np.ndarray:
        """The frame, uint8 RGB of shape (H, W, 3)."""
        return self.frame.pixels

    def rows(self) -> list[dict[str, Any]]:
        """One row a face, as ``crossfer video --format json`` writes it."""
        return [{"frame": self.index, "time": round(self.time, 6), **face.to_dict()} for face in self.faces]

"""Where a video cuts from one shot to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

GRID = 16  # of cells a side that a frame is averaged to; less says less, more takes a pan for a cut
SAMPLES = 128  # rows and columns of the frame, at most, that are averaged
# A cut changes what is seen where: the correlation of the cells falls by so much, and their levels (0 to 255)
# change by so much on average. A flash or a change of exposure leaves the correlation, a head that moves
# before an even wall leaves the levels.
LEAST_CHANGE, LEAST_DIFFERENCE = 0.4, 12.0
# And it stands out from the usual change between the frames before it, which motion does not for long.
RATIO, FRAMES = 3.0, 5


class Shots:
    """Tells the first frame of each shot of a video from the others; what fades over is no cut.

    A cut is where the change, 1 minus the correlation of two successive frames averaged to a grid, is large,
    and larger than a multiple of the median change of the frames before.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=FRAMES)

    def begins(self, pixels: np.ndarray) -> bool:
        """Whether a shot begins with the next frame, which is not the first of the video.

        Args:
            pixels: uint8 RGB, shape (H, W, 3).
        """
        before, cells = self._last, averaged(pixels)
        self._last = cells
        if before is None:
            return False
        change, difference = changes(before, cells)
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._changes.append(change)
        return change > max(LEAST_CHANGE, RATIO * usual) and difference > LEAST_DIFFERENCE

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values for JSON."""
        return {"last": None if self._last is None else self._last.tolist(), "changes": list(self._changes)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up the state that ``to_dict`` gave."""
        last: Iterable[Any] | None = state["last"]
        self._last = None if last is None else np.array(last, np.uint8)
        self._changes.extend(float(change) for change in state["changes"])


def averaged(pixels: np.ndarray) -> np.ndarray:
    """Uint8 RGB pixels of shape (H, W, 3) as green levels averaged to a grid, (GRID, GRID) uint8."""
    step = [max(1, side // SAMPLES) for side in pixels.shape[:2]]
    green = np.ascontiguousarray(pixels[:: step[0], :: step[1], 1])
    return np.asarray(Image.fromarray(green).resize((GRID, GRID), Image.Resampling.BOX))


def changes(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Between two grids: 1 minus their correlation, from 0 to 2, and the mean difference of their levels.

    An even grid correlates with no other.
    """
    a, b = (grid.astype(np.float64).ravel() for grid in (one, other))
    difference = float(np.abs(a - b).mean())
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return (1 - float(a @ b) / spread if spread else float(bool((a != b).any()))), difference

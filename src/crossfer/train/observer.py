"""The places from which to look on while a run trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crossfer.method import CrossLayerNet
from crossfer.train.record import EpochRecord


class Observer:
    """Looks on while a run trains, and changes nothing; this one does not even look."""

    def begin(self, net: CrossLayerNet, folder: Path, epoch: int) -> None:
        """Before the first step; ``epoch`` whole epochs are done already."""

    def before_backward(self) -> None:
        """Before the gradients of a step are computed."""

    def after_backward(self, scale: float) -> None:
        """Once they are there, ``scale`` times too large, before they are clipped and used."""

    def finish_epoch(self) -> None:
        """Before the epoch's checkpoint is written."""


# Called with the record of each epoch: the place for any experiment tracker.
Tracker = Callable[[EpochRecord], None]

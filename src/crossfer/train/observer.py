"""The place from which to look on while a run trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossfer.method import CrossLayerNet
from crossfer.train.record import EpochRecord, Progress


class Observer:
    """Looks on while a run trains, on rank 0, and changes nothing; this one does not even look.

    Attributes:
        sees_gradients: it looks at the gradients of whole batches, so the run may be no shared, compiled or
            accumulating one.
    """

    sees_gradients = False

    def begin(self, net: CrossLayerNet, folder: Path, epoch: int) -> None:
        """Before the first step; ``epoch`` whole epochs are done already."""

    def after_answers(self, done: int, faces: int) -> None:
        """Once fixed teachers have answered about ``done`` of the ``faces``."""

    def before_backward(self) -> None:
        """Before the gradients of a step, or of a part of it, are computed."""

    def after_backward(self, scale: float) -> None:
        """Once they are there, ``scale`` times too large, before they are clipped and used."""

    def after_step(self, progress: Progress) -> None:
        """Once the weights have changed."""

    def before_checkpoint(self) -> None:
        """Once an epoch is learnt, before its checkpoint is written."""

    def after_epoch(self, record: EpochRecord) -> None:
        """Once an epoch's checkpoint is written; on resuming first with the last whole epoch's record."""

    def noted(self) -> dict[str, Any]:
        """What the result of a run in a study keeps of all that was seen, by keys of its own."""
        return {}

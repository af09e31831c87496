"""A tracker that writes event files for TensorBoard."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from crossfer.train.record import EpochRecord


class TensorBoard:
    """Writes every number of an epoch's record under its name; look at them with ``tensorboard --logdir``.

    The event file appears with the first record. Needs the extra ``tensorboard``.

    Args:
        folder: where event files go; those of earlier starts stay.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._writer = folder, None

    def __call__(self, record: EpochRecord) -> None:
        """Write a record; it is on disk on return."""
        if self._writer is None:  # not before: a run that is refused leaves nothing
            from tensorboardX import SummaryWriter  # noqa: PLC0415  the extra may be missing

            self._writer = SummaryWriter(str(self._folder))
        for name, value in asdict(record).items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

"""Event files for TensorBoard."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter

# Generated code, in which pyright sees nothing.
from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from crossfer.train.observer import Observer
from crossfer.train.record import EpochRecord


class TensorBoard(Observer):
    """Writes every number of an epoch's record under its name; look at them with ``tensorboard --logdir``.

    The event file appears with the first record. It is written in place and at once: the library's
    ``SummaryWriter`` writes from another thread, which a kill cuts off.

    Args:
        folder: where event files go, once it is there; those of earlier starts stay.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None

    def after_epoch(self, record: EpochRecord) -> None:
        """Write a record; it is on disk on return."""
        if self._writer is None:  # not before: a run that is refused leaves nothing
            self._writer = EventsWriter(str(self._folder / "events"))
        numbers = {k: v for k, v in asdict(record).items() if k != "epoch" and v is not None}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._writer.write_event(
            Event(wall_time=time.time(), step=record.epoch, summary=Summary(value=values))
        )
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

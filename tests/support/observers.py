"""Observers that call a function."""

from __future__ import annotations

from collections.abc import Callable

from crossfer.train.observer import Observer
from crossfer.train.record import EpochRecord, Progress


class EachStep(Observer):
    """Calls a function with where a run stands after every step."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self.after_step = tell


class EachEpoch(Observer):
    """Calls a function with the record of every epoch."""

    def __init__(self, tell: Callable[[EpochRecord], None]) -> None:
        self.after_epoch = tell

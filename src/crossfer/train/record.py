"""What a run tells while it goes and leaves when it is done."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossfer.runtime.atomic import write_atomically
from crossfer.train.device import Precision


@dataclass(frozen=True)
class Progress:
    """Where a run stands, given to the caller after each step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    images_per_second: float
    seconds_left: float
    valid_accuracy: float | None


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``log.csv``; losses are means over the epoch, accuracy (0..1) is the averaged weights'."""

    epoch: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    valid_accuracy: float
    valid_loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: its folder, the chosen epoch, the validation accuracy there, all epochs."""

    folder: Path
    best_epoch: int
    best_accuracy: float
    precision: Precision
    history: tuple[EpochRecord, ...]


def write_log(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write a table with a line an epoch, CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(history[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: round(v, 6) for k, v in asdict(r).items()} for r in history)
    write_atomically(path, text.getvalue().encode())

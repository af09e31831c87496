"""What a run tells while it goes and leaves when it is done."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossfer.system.atomic import write_atomically
from crossfer.train.config import Objective
from crossfer.train.device import Precision


@dataclass(frozen=True)
class Progress:
    """Where a run stands, given to the caller after each step.

    Attributes:
        objective: what is learnt.
        epoch: from 1.
        epochs: how many there will be.
        step: from 1, in the epoch.
        steps: how many an epoch has.
        loss: mean over the epoch so far.
        classification: term of the loss over the labels or views, its mean over the epoch so far.
        feature_map: term over the feature maps, its mean over the epoch so far.
        batch: term over the batch, its mean over the epoch so far.
        images_per_second: in this epoch, over all ranks.
        data_wait: fraction of the epoch's time in which the step waited for its faces, in 0..1.
        seconds_left: of all epochs.
        valid_accuracy: after the epoch before, in 0..1.
    """

    objective: Objective
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    images_per_second: float
    data_wait: float
    seconds_left: float
    valid_accuracy: float | None


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``log.csv``; losses are means over the epoch, accuracies (0..1) are the averaged weights'.

    Where views are compared, their contrast stands for the classification, the share of views that find the
    same face's other one for the accuracy, and there is no mean over classes.

    ``data_wait`` is the fraction of the training time in which the step waited for its faces.
    """

    epoch: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    valid_accuracy: float
    valid_loss: float
    learning_rate: float
    seconds: float
    # The last two are absent from the history of runs that older versions began.
    data_wait: float = 0.0
    valid_mean_class_accuracy: float | None = None


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: its folder, the chosen epoch, the validation accuracy there, all epochs.

    ``commit`` is that of the code as the run, or the last part of it, began.
    """

    folder: Path
    best_epoch: int
    best_accuracy: float
    precision: Precision
    commit: str
    history: tuple[EpochRecord, ...]


def write_log(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write a table with a line an epoch, CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(history[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(r).items()} for r in history
    )
    write_atomically(path, text.getvalue().encode())

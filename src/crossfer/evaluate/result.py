"""What an evaluation gives: every number beside the data, protocol and model that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table


@dataclass(frozen=True)
class ClassResult:
    """How well one expression is recognised.

    Attributes:
        precision: share of the predictions of it that are right, in 0..1; None if it was never predicted.
        recall: share of its images predicted right, in 0..1; None if it has no images.
        support: its images, including those without a face found.
    """

    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True)
class EvaluationResult:
    """The outcome of one model on one split; rates and intervals lie in 0..1.

    An image in which no face was found stays in ``n`` and in its class's support and counts as wrong in every
    rate. The confusion matrix, NLL, Brier score and ECE describe predictions, so they leave it out: a row of
    the matrix sums to the support of its class less its images without a face.

    Attributes:
        data: name of the data set.
        split: which part of it.
        protocol: how labels were made and which images were kept.
        detector: what found the faces; ``"none"`` if the images are face crops.
        model: name of the model.
        model_sha256: checksum of its file, hexadecimal.
        labels: expressions in the model's class order.
        n: images.
        no_face: how many of them had no face found.
        accuracy: share of images predicted right.
        interval: (low, high), 95 % Wilson interval of the accuracy.
        mean_class_accuracy: mean recall over the classes that have images.
        macro_f1: mean F1 over the classes that have images or were predicted.
        nll: negative log-likelihood per image with a face; None if there was none.
        brier: Brier score per image with a face, in 0..2; None likewise.
        ece: expected calibration error over 15 bins of equal width; None likewise.
        per_class: figures of each class, in the order of ``labels``.
        confusion: rows are the true classes, columns the predicted ones, both in the order of ``labels``.
        skipped: one line for each image or row of the data set that was left out.
    """

    data: str
    split: str
    protocol: str
    detector: str
    model: str
    model_sha256: str
    labels: tuple[str, ...]
    n: int
    no_face: int
    accuracy: float
    interval: tuple[float, float]
    mean_class_accuracy: float
    macro_f1: float
    nll: float | None
    brier: float | None
    ece: float | None
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``crossfer evaluate --format json`` writes them; rates rounded to 6 digits."""
        return {
            "data": self.data,
            "split": self.split,
            "protocol": self.protocol,
            "detector": self.detector,
            "model": {"name": self.model, "sha256": self.model_sha256},
            "labels": list(self.labels),
            "n": self.n,
            "no_face": self.no_face,
            "accuracy": round(self.accuracy, 6),
            "interval": [round(bound, 6) for bound in self.interval],
            "mean_class_accuracy": round(self.mean_class_accuracy, 6),
            "macro_f1": round(self.macro_f1, 6),
            "nll": _rounded(self.nll),
            "brier": _rounded(self.brier),
            "ece": _rounded(self.ece),
            "per_class": {
                name: {
                    "precision": _rounded(scores.precision),
                    "recall": _rounded(scores.recall),
                    "support": scores.support,
                }
                for name, scores in zip(self.labels, self.per_class, strict=True)
            },
            "confusion": [list(row) for row in self.confusion],
            "skipped": {"count": len(self.skipped), "reasons": list(self.skipped)},
        }

    def to_tables(self) -> Group:
        """The same for people: a headline, a table of figures and the confusion matrix, for rich."""
        return Group(
            f"{self.model} on {self.data} {self.split} "
            f"({self.protocol}, n = {self.n:,}, detector {self.detector})",
            f"accuracy {_percent(self.accuracy)} %  "
            f"(95 % interval {_percent(self.interval[0])} to {_percent(self.interval[1])})",
            self._figures(),
            self._class_table(),
            self._confusion_table(),
            *([f"{len(self.skipped):,} bad rows or images left out"] if self.skipped else []),
        )

    def _figures(self) -> Table:
        table = Table(show_header=False, box=None)
        for name, value in (
            ("mean class accuracy", f"{_percent(self.mean_class_accuracy)} %"),
            ("macro F1", f"{_percent(self.macro_f1)} %"),
            ("NLL", _decimal(self.nll)),
            ("Brier score", _decimal(self.brier)),
            ("ECE (15 bins)", _decimal(self.ece)),
            ("images without a face", f"{self.no_face:,}"),
        ):
            table.add_row(name, value)
        return table

    def _class_table(self) -> Table:
        table = Table(title="each class", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("expression")
        for heading in ("images", "recall %", "precision %"):
            table.add_column(heading, justify="right")
        for name, scores in zip(self.labels, self.per_class, strict=True):
            table.add_row(name, f"{scores.support:,}", _percent(scores.recall), _percent(scores.precision))
        return table

    def _confusion_table(self) -> Table:
        table = Table(
            title="rows: true, columns: predicted", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
        )
        table.add_column("")
        for name in self.labels:
            table.add_column(name, justify="right", no_wrap=True)
        for name, row in zip(self.labels, self.confusion, strict=True):
            table.add_row(name, *(f"{count:,}" for count in row))
        return table


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f}"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

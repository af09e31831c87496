"""What is said beyond probabilities: a set of expressions, and whether to answer at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfer.calibration import Calibration, prediction_sets
from crossfer.runtime.bundle import BundleError, BundleMeta
from crossfer.types import UNCERTAIN, Prediction


@dataclass(frozen=True)
class Decision:
    """Turns probabilities into a prediction set and an abstention, where these are wanted.

    Attributes:
        set_threshold: from which probability (0..1) on an expression belongs to the set; None for no sets.
        least_confidence: below which confidence (0..1) to answer "uncertain"; None to answer always.
    """

    set_threshold: float | None = None
    least_confidence: float | None = None

    @classmethod
    def of(cls, meta: BundleMeta, coverage: float | None = None, *, abstain: bool = False) -> Decision:
        """The decision that a model's calibration makes possible.

        Args:
            meta: of the model.
            coverage: how often (0.5 to 0.999) a set should hold the true expression; None for no sets.
            abstain: whether to answer "uncertain" below the confidence that the calibration found.

        Raises:
            BundleError: if the model lacks the calibration that these need, or has a class that is called
                "uncertain".
            ValueError: if the coverage is out of range.
        """
        return cls(
            None if coverage is None else _calibrated(meta).set_threshold(coverage),
            _least_confidence(meta) if abstain else None,
        )

    def __call__(self, prediction: Prediction) -> Prediction:
        """The prediction with its set and abstention."""
        return replace(
            prediction,
            prediction_set=self._set(prediction),
            abstained=None
            if self.least_confidence is None
            else bool(prediction.confidence < self.least_confidence),
        )

    def _set(self, prediction: Prediction) -> tuple[str, ...] | None:
        if self.set_threshold is None:
            return None
        labels = list(prediction.probabilities)
        probabilities = np.array([prediction.probabilities[label] for label in labels])
        (members,) = prediction_sets(probabilities[None], self.set_threshold)
        return tuple(labels[k] for k in np.argsort(-probabilities, kind="stable") if members[k])


def _calibrated(meta: BundleMeta) -> Calibration:
    if meta.calibration is None:
        raise BundleError(
            f"model {meta.name!r}: expected a calibrated model for prediction sets and abstention, found one "
            "without; calibrate it first: crossfer calibrate MODEL --data NAME --root DIR -o FILE"
        )
    return meta.calibration


def _least_confidence(meta: BundleMeta) -> float:
    if meta.labelset.has(UNCERTAIN):
        raise BundleError(
            f"model {meta.name!r}: abstention answers {UNCERTAIN!r}, expected no class of that name, found "
            "one; leave abstention out, or train with another name for the class"
        )
    abstention = _calibrated(meta).abstention
    if abstention is None:
        raise BundleError(
            f"model {meta.name!r}: no confidence gave the selective accuracy that calibration asked for; "
            "calibrate it with a lower --selective-accuracy"
        )
    return abstention.threshold

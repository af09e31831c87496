"""A model against a data set: predictions in, numbers out."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from crossfer import metrics
from crossfer.calibration import Calibration, prediction_sets
from crossfer.data.sample import Dataset
from crossfer.evaluate.predictions import Predictions, predict
from crossfer.evaluate.result import (
    AbstentionResult,
    BootstrapResult,
    ClassResult,
    CoverageResult,
    EvaluationResult,
    PartResult,
)
from crossfer.runtime.recognizer import Recognizer

RESAMPLES, SEED = 1000, 0
COVERAGES = tuple(np.arange(1, 21) / 20)
SET_TARGETS = (0.8, 0.9, 0.95)


def evaluate(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> EvaluationResult:
    """Scores a model on a data set, on face crops or end to end: ``predict``, then ``measure``.

    Arguments and errors are those of ``predict``.
    """
    predictions = predict(recognizer, dataset, progress=progress)
    return measure(predictions, recognizer.meta.calibration)


def measure(predictions: Predictions, calibration: Calibration | None = None) -> EvaluationResult:
    """Every figure that predictions alone give.

    Args:
        predictions: of at least one image.
        calibration: of the model, whose promises about prediction sets and abstention are then checked too.
    """
    truth, predicted = predictions.truth, predictions.predicted
    classes, answered = len(predictions.about.labels), predictions.answered
    seen = predictions.select(answered)
    p, t, found = seen.probabilities, seen.truth, bool(answered.any())
    curve = metrics.risk_coverage(predictions.confidence, predictions.right)
    return EvaluationResult(
        **vars(measure_part(predictions)),
        about=predictions.about,
        no_face=int(np.sum(~answered)),
        bootstrap=_bootstrap(predictions),
        nll=metrics.negative_log_likelihood(p, t) if found else None,
        brier=metrics.brier_score(p, t) if found else None,
        ece=metrics.expected_calibration_error(p, t) if found else None,
        ece_equal_mass=metrics.expected_calibration_error(p, t, equal_mass=True) if found else None,
        votes_distance=None
        if seen.votes is None or not found
        else metrics.jensen_shannon_distance(p, seen.votes),
        aurc=curve.area,
        risk_coverage=_points(curve),
        per_class=_per_class(truth, predicted, classes),
        confusion=tuple(map(tuple, metrics.confusion_matrix(truth, predicted, classes).tolist())),
        skipped=predictions.skipped,
        sets=() if calibration is None or not found else _sets(seen, calibration),
        abstention=None if calibration is None else _abstention(predictions, calibration),
    )


def measure_part(predictions: Predictions) -> PartResult:
    """The figures of some images by themselves."""
    truth, predicted = predictions.truth, predictions.predicted
    return PartResult(
        n=len(predictions),
        accuracy=metrics.accuracy(truth, predicted),
        interval=metrics.wilson_interval(int(predictions.right.sum()), len(predictions)),
        mean_class_accuracy=metrics.mean_class_accuracy(truth, predicted),
        macro_f1=metrics.macro_f1(truth, predicted),
    )


def _bootstrap(predictions: Predictions) -> BootstrapResult:
    truth, predicted, groups = predictions.truth, predictions.predicted, predictions.groups
    figures = (metrics.accuracy, metrics.mean_class_accuracy, metrics.macro_f1)
    drawn = [
        [figure(truth[rows], predicted[rows]) for figure in figures]
        for rows in metrics.bootstrap_resamples(len(truth), RESAMPLES, groups=groups, seed=SEED)
    ]
    intervals = [metrics.percentile_interval(column) for column in np.transpose(drawn)]
    return BootstrapResult(int(groups.max()) + 1, RESAMPLES, SEED, *intervals)


def _points(curve: metrics.RiskCoverage) -> tuple[tuple[float, float], ...]:
    """The curve at round coverages, each served by the fewest images that reach it."""
    at = np.ceil(np.array(COVERAGES) * len(curve.risk) - 1e-9).astype(int) - 1
    return tuple(zip(COVERAGES, curve.risk[at].tolist(), strict=True))


def _sets(seen: Predictions, calibration: Calibration) -> tuple[CoverageResult, ...]:
    fitted = calibration.fitted_on.get("n", 0)
    return tuple(_coverage(seen, target, calibration.set_threshold(target), fitted) for target in SET_TARGETS)


def _coverage(seen: Predictions, target: float, threshold: float, fitted: int) -> CoverageResult:
    members = prediction_sets(seen.probabilities, threshold)
    covered = members[np.arange(len(seen)), seen.truth]
    per_class = {
        name: float(covered[seen.truth == k].mean()) if (seen.truth == k).any() else None
        for k, name in enumerate(seen.about.labels)
    }
    band = coverage_band(target, fitted, len(seen))
    return CoverageResult(target, float(covered.mean()), band, float(members.sum(axis=1).mean()), per_class)


def coverage_band(target: float, fitted: int, tested: int) -> tuple[float, float]:
    """Between which bounds the coverage of prediction sets lies in 99 % of tests if their promise holds.

    Both the images that a threshold was fitted on and those that it is tested on are a sample; the variance
    of the measured coverage is target (1 - target) (1 / fitted + 1 / tested) (Angelopoulos and Bates 2023,
    section 3.2; normal approximation).

    >>> [round(bound, 3) for bound in coverage_band(0.9, 2900, 3152)]
    [0.88, 0.92]
    """
    deviation = np.sqrt(target * (1 - target) * (1 / max(fitted, 1) + 1 / tested))
    margin = float(NormalDist().inv_cdf(0.995) * deviation)
    return max(0.0, target - margin), min(1.0, target + margin)


def _abstention(predictions: Predictions, calibration: Calibration) -> AbstentionResult | None:
    fitted = calibration.abstention
    if fitted is None:
        return None
    given = predictions.answered & (predictions.confidence >= fitted.threshold)
    accuracy = float(predictions.right[given].mean()) if given.any() else None
    return AbstentionResult(fitted.threshold, fitted.selective_accuracy, float(given.mean()), accuracy)


def _per_class(truth: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[ClassResult, ...]:
    scores = metrics.class_scores(truth, predicted, classes)
    return tuple(
        ClassResult(_defined(precision), _defined(recall), int(support))
        for precision, recall, support in zip(scores.precision, scores.recall, scores.support, strict=True)
    )


def _defined(rate: float) -> float | None:
    return None if np.isnan(rate) else float(rate)

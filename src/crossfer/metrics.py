"""Numbers about classifiers, from arrays, with NumPy only.

Everywhere: N images, K classes; ``truth`` is (N,) class indices in 0..K-1; ``predicted`` is (N,) class
indices, or ``NO_ANSWER`` for an image that got none (no face was found in it), which counts as wrong;
``probabilities`` is (N, K), rows summing to 1. Input that does not fit, or is empty, is a ValueError that
states what was expected and what was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

NO_ANSWER = -1


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was taken for each.

    Images without an answer are in no cell, so a row sums to the class's support less its unanswered images.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])

    Returns:
        (K, K) int64; row i, column j counts the images of class i that were predicted as j.
    """
    truth, predicted = _checked_classes(truth, predicted, classes)
    answered = predicted != NO_ANSWER
    cells = truth[answered] * classes + predicted[answered]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of images predicted right, in 0..1."""
    truth, predicted = _checked_classes(truth, predicted)
    return float(np.mean(truth == predicted))


def mean_class_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that occur in the truth, in 0..1; also called balanced accuracy."""
    truth, predicted = _checked_classes(truth, predicted)
    return float(np.mean([np.mean(predicted[truth == k] == k) for k in np.unique(truth)]))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that occur in the truth or among the predictions, in 0..1.

    A class that is predicted but never true has an F1 of 0 and counts; one that is neither has none.
    """
    truth, predicted = _checked_classes(truth, predicted)
    occurring = np.setdiff1d(np.union1d(truth, predicted), NO_ANSWER)
    scores = []
    for k in occurring:
        hits = np.sum((truth == k) & (predicted == k))
        scores.append(2 * hits / (np.sum(truth == k) + np.sum(predicted == k)))
    return float(np.mean(scores))


@dataclass(frozen=True)
class ClassScores:
    """Per-class figures, each (K,).

    Attributes:
        precision: share of the predictions of a class that are right; NaN for a class never predicted.
        recall: share of the images of a class predicted right; NaN for a class without images.
        support: images of each class, answered or not.
    """

    precision: np.ndarray
    recall: np.ndarray
    support: np.ndarray


def class_scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> ClassScores:
    """Precision, recall and support of each of ``classes`` classes."""
    truth, predicted = _checked_classes(truth, predicted, classes)
    confusion = confusion_matrix(truth, predicted, classes)
    hits, claims, support = confusion.diagonal(), confusion.sum(axis=0), np.bincount(truth, minlength=classes)
    return ClassScores(_ratio(hits, claims), _ratio(hits, support), support)


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), which stays inside 0..1.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)

    Args:
        correct: successes, 0..n.
        n: trials, at least 1.
        confidence: share of such intervals that cover the true proportion, between 0 and 1.

    Returns:
        (low, high), each in 0..1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"expected 0 <= correct <= n and n >= 1, got correct = {correct}, n = {n}")
    z = NormalDist().inv_cdf((1 + _checked_confidence(confidence)) / 2)
    p = correct / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    margin = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(center - margin)), min(1.0, float(center + margin))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    n: int,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979) of any figure about N images.

    >>> hits = np.array([True] * 80 + [False] * 20)
    >>> bootstrap_interval(lambda rows: hits[rows].mean(), 100)
    (0.72, 0.88)

    Args:
        statistic: the figure for a resample, given as (N,) image indices drawn with replacement.
        n: images, at least 1.
        confidence: share of such intervals that are meant to cover the true figure, between 0 and 1.
        resamples: how many resamples, at least 1.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        (low, high) in the unit of the statistic.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"expected n >= 1 and resamples >= 1, got n = {n}, resamples = {resamples}")
    tail = (1 - _checked_confidence(confidence)) / 2
    rng = np.random.default_rng(seed)
    figures = [statistic(rng.integers(n, size=n)) for _ in range(resamples)]
    low, high = np.quantile(figures, [tail, 1 - tail])
    return float(low), float(high)


def negative_log_likelihood(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean of -ln(probability of the true class), >= 0.

    A probability counts as at least 2.2e-16 (float64's epsilon), so that one underflow is not infinite.
    """
    probabilities, truth = _checked_probabilities(probabilities, truth)
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.clip(chosen, np.finfo(np.float64).eps, 1))))


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared distance between an image's probabilities and its one-hot truth (Brier 1950), in 0..2."""
    probabilities, truth = _checked_probabilities(probabilities, truth)
    return float(np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2, axis=1)))


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 15) -> float:
    """Gap between confidence and accuracy of the most probable class (Naeini et al. 2015), in 0..1.

    Sum over bins of equal width of |accuracy - mean confidence|, each weighted by its share of the images.
    Bin b of B holds the confidences in [b / B, (b + 1) / B), the last one 1 as well.
    """
    probabilities, truth = _checked_probabilities(probabilities, truth)
    if bins < 1:
        raise ValueError(f"expected at least 1 bin, got {bins}")
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == truth) - confidence
    place = np.clip(np.digitize(confidence, np.linspace(0, 1, bins + 1)) - 1, 0, bins - 1)
    return float(np.sum(np.abs(np.bincount(place, gap))) / len(truth))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _checked_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}")
    return confidence


def _checked_classes(
    truth: np.ndarray, predicted: np.ndarray, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    _check_indices("truth", truth, 0, classes)
    _check_indices("predicted", predicted, NO_ANSWER, classes)
    if len(truth) != len(predicted):
        raise ValueError(f"predicted: expected a class for each of {len(truth)} images, got {len(predicted)}")
    return truth, predicted


def _check_indices(name: str, indices: np.ndarray, lowest: int, classes: int | None) -> None:
    if indices.ndim != 1 or not len(indices) or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(
            f"{name}: expected at least one class index of integer type, shape (N,), "
            f"got {indices.dtype} of shape {indices.shape}"
        )
    if indices.min() < lowest or (classes is not None and indices.max() >= classes):
        most = "" if classes is None else f" to {classes - 1}"
        raise ValueError(
            f"{name}: expected class indices from {lowest}{most}, got {indices.min()} to {indices.max()}"
        )


def _checked_probabilities(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, truth = np.asarray(probabilities, np.float64), np.asarray(truth)
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities: expected shape (N, K), got {probabilities.shape}")
    _check_indices("truth", truth, 0, probabilities.shape[1])
    if len(probabilities) != len(truth):
        raise ValueError(
            f"probabilities: expected a row for each of {len(truth)} images, got {len(probabilities)}"
        )
    if not np.all(probabilities >= 0) or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise ValueError("probabilities: expected rows >= 0 that sum to 1, got others; apply a softmax first")
    return probabilities, truth

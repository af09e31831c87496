"""Numbers about classifiers, from arrays, with NumPy only.

Everywhere: N images, K classes; ``truth`` is (N,) class indices in 0..K-1; ``predicted`` is (N,) class
indices, or ``NO_ANSWER`` for an image that got none (no face was found in it), which counts as wrong;
``probabilities`` is (N, K), rows summing to 1. Input that does not fit, or is empty, is a ValueError that
states what was expected and what was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NO_ANSWER = -1
NORMAL_QUANTILE = 1.9599639845400536  # 97.5 % quantile of the normal distribution
# The same of Student's t for 1 to 10 degrees of freedom.
T_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


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


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927), which stays inside 0..1.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)

    Args:
        correct: successes, 0..n.
        n: trials, at least 1.

    Returns:
        (low, high), each in 0..1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"expected 0 <= correct <= n and n >= 1, got correct = {correct}, n = {n}")
    z, p = NORMAL_QUANTILE, correct / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    margin = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(center - margin)), min(1.0, float(center + margin))


def t_quantile(degrees: float) -> float:
    """97.5 % quantile of Student's t, to 1 in 1,000.

    From a table up to ten degrees of freedom, beyond it by Cornish and Fisher's expansion. Degrees between
    two whole numbers are rounded down, which can only widen an interval.

    Args:
        degrees: of freedom, at least 1.
    """
    whole = math.floor(degrees)
    if whole <= len(T_QUANTILES):
        return T_QUANTILES[whole - 1]
    z = NORMAL_QUANTILE
    return z + (z**3 + z) / (4 * whole) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * whole**2)


def stated_accuracy(right: np.ndarray, data: str, split: str, protocol: str) -> dict[str, Any]:
    """An accuracy as a bundle's metadata keeps it: with what has to stand beside the number.

    Args:
        right: (N,) bool, which answers are right; at least one.
        data: name of the data set.
        split: which part of it.
        protocol: how its labels were made and which images were kept.

    Returns:
        The accuracy, 0..1, its 95 % Wilson interval, N, and the three names; plain values.
    """
    correct, n = int(right.sum()), len(right)
    about = {"data": data, "split": split, "protocol": protocol}
    return {"accuracy": correct / n, "n": n, "interval": list(wilson_interval(correct, n)), **about}


def bootstrap_resamples(
    n: int, count: int, *, groups: np.ndarray | None = None, seed: int = 0
) -> Iterator[np.ndarray]:
    """Bootstrap resamples (Efron 1979) of N images, as indices drawn with replacement.

    Copies of one image carry no more information than one of them, so that images of a group are drawn
    together: as many groups are drawn as there are, and a resample holds all their images (the cluster
    bootstrap, Davison and Hinkley 1997, section 3.8). Its size therefore varies a little.

    Args:
        n: images, at least 1.
        count: how many resamples, at least 1.
        groups: (N,) integers, equal for images that belong together; None: each image by itself.
        seed: of the draws; the same seed gives the same resamples.

    Yields:
        (M,) int64 image indices; M is N where each image stands by itself.
    """
    if n < 1 or count < 1:
        raise ValueError(f"expected n >= 1 and resamples >= 1, got n = {n}, resamples = {count}")
    rng = np.random.default_rng(seed)
    if groups is None:
        yield from (rng.integers(n, size=n) for _ in range(count))
        return
    if np.shape(groups) != (n,):
        raise ValueError(f"groups: expected one for each of {n} images, got shape {np.shape(groups)}")
    members = np.argsort(groups, kind="stable")
    sizes = np.unique(groups, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    for _ in range(count):
        drawn = rng.integers(len(sizes), size=len(sizes))
        ends = np.cumsum(sizes[drawn])
        offsets = np.arange(ends[-1]) - np.repeat(ends - sizes[drawn], sizes[drawn])
        yield members[np.repeat(starts[drawn], sizes[drawn]) + offsets]


def percentile_interval(figures: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the figures of many resamples (Efron 1979), as (low, high)."""
    low, high = np.quantile(figures, [0.025, 0.975])
    return float(low), float(high)


def nll(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """-ln(probability of the true class) of each image: (N,), each >= 0.

    A probability counts as at least 2.2e-308 (the least normal float64), so that an underflow is 708 and not
    infinite. The arguments are not checked.
    """
    chosen = probabilities[np.arange(len(truth)), truth]
    return -np.log(np.clip(chosen, np.finfo(np.float64).tiny, 1))


def negative_log_likelihood(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean of ``nll`` over the images, >= 0."""
    return float(nll(*_checked_probabilities(probabilities, truth)).mean())


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared distance between an image's probabilities and its one-hot truth (Brier 1950), in 0..2."""
    probabilities, truth = _checked_probabilities(probabilities, truth)
    return float(np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2, axis=1)))


@dataclass(frozen=True)
class ReliabilityBins:
    """Images gathered by the confidence of their answers; each (B,), empty bins left out.

    Attributes:
        confidence: mean probability of the most probable class, in 0..1.
        accuracy: share of right answers.
        count: images.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def reliability_bins(
    probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 15, equal_mass: bool = False
) -> ReliabilityBins:
    """Confidence against accuracy of the most probable class, by bins of confidence.

    Equal width: bin b of B holds the confidences in [b / B, (b + 1) / B), the last one 1 as well. Equal mass
    (Nguyen and O'Connor 2015): images in the order of confidence, cut into B runs whose sizes differ by one
    at most. Images of equal confidence have no order among them: a bin that holds some of them has the share
    of right answers of all of them.
    """
    probabilities, truth = _checked_probabilities(probabilities, truth)
    if bins < 1:
        raise ValueError(f"expected at least 1 bin, got {bins}")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    if equal_mass:
        place = np.empty(len(truth), np.int64)
        place[np.argsort(confidence, kind="stable")] = np.arange(len(truth)) * bins // len(truth)
        _, tie, tied = np.unique(confidence, return_inverse=True, return_counts=True)
        right = (np.bincount(tie, right) / tied)[tie]
    else:
        place = np.clip(np.digitize(confidence, np.linspace(0, 1, bins + 1)) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    means = [np.bincount(place, values, bins)[filled] / count[filled] for values in (confidence, right)]
    return ReliabilityBins(means[0], means[1], count[filled])


def expected_calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 15, equal_mass: bool = False
) -> float:
    """Gap between confidence and accuracy of the most probable class (Naeini et al. 2015), in 0..1.

    Sum over the bins of ``reliability_bins`` of |accuracy - mean confidence|, each weighted by its share of
    the images.
    """
    found = reliability_bins(probabilities, truth, bins=bins, equal_mass=equal_mass)
    return float(np.sum(found.count * np.abs(found.accuracy - found.confidence)) / np.sum(found.count))


def jensen_shannon_distance(probabilities: np.ndarray, votes: np.ndarray) -> float:
    """Mean distance between predicted and voted distributions, in 0..1.

    Of an image: the square root of the Jensen-Shannon divergence (Lin 1991; Endres and Schindelin 2003) to
    base 2, so that 0 means equal and 1 nothing in common.

    Args:
        probabilities: (N, K), rows summing to 1.
        votes: (N, K), each row the shares of the annotators' votes, summing to 1.
    """
    p, q = np.asarray(probabilities, np.float64), np.asarray(votes, np.float64)
    if p.shape != q.shape or p.ndim != 2 or not len(p):
        raise ValueError(f"votes: expected the shape (N, K) of the probabilities {p.shape}, got {q.shape}")
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.mean(np.sqrt(np.clip(divergence, 0, 1))))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of each row in bits; q is above 0 where p is."""
    return np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(p > 0, q, 1)), 0), axis=1)


@dataclass(frozen=True)
class RiskCoverage:
    """What answering only the surest images brings; each (N,), from the surest image alone to all of them.

    Attributes:
        coverage: share of the images that are answered, 1/N to 1.
        risk: share of wrong answers among those, in 0..1.
    """

    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """Area under the curve (AURC, Geifman, Uziel and El-Yaniv 2019): the mean risk over all coverages."""
        return float(np.mean(self.risk))


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener 2010).

    Images of equal confidence have no order among them: at a coverage that parts them, the risk is that
    expected over all their orders, so that the curve does not depend on how the images are listed.

    Args:
        confidence: (N,), any score that is higher where an answer is surer.
        right: (N,) bool, whether each answer is right.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if confidence.shape != right.shape or confidence.ndim != 1 or not len(right):
        raise ValueError(
            "expected a confidence and an outcome for each image, "
            f"got shapes {confidence.shape} and {right.shape}"
        )
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(right) + 1)
    errors = np.cumsum(~right[order])
    last_of_ties = np.append(np.diff(confidence[order]) != 0, True)
    errors = np.interp(answered, np.append(0, answered[last_of_ties]), np.append(0, errors[last_of_ties]))
    return RiskCoverage(answered / len(right), errors / answered)


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's exact test (1947): do two classifiers err equally often on the same images?

    Under the null hypothesis an image on which just one of them is right is as likely the one's as the
    other's: a two-sided binomial test, exact at every size.

    >>> round(mcnemar(8, 2), 6)
    0.109375

    Args:
        only_first: images that only the first classifier gets right.
        only_second: images that only the second gets right.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"expected counts of at least 0, got {only_first} and {only_second}")
    n, fewer = only_first + only_second, min(only_first, only_second)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(n + 1), 1)))
    k = np.arange(fewer + 1)
    log_terms = log_factorial[n] - log_factorial[k] - log_factorial[n - k] - n * np.log(2)
    return min(1.0, float(2 * np.sum(np.exp(log_terms))))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


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

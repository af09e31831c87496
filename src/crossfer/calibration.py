"""From logits to probabilities that can be believed, to sets of expressions, and to "uncertain".

Everywhere: N images, K classes; ``logits`` is (N, K); ``truth`` is (N,) class indices in 0..K-1;
``probabilities`` is (N, K), rows summing to 1. What is fitted here is fitted on validation images that the
network has not learnt from, and travels in the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossfer.defaults import LEAST_COVERAGE, MOST_COVERAGE
from crossfer.metrics import nll

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# Coverage levels that a calibration can serve, in thousandths.
LEVELS = tuple(range(round(1000 * LEAST_COVERAGE), round(1000 * MOST_COVERAGE) + 1))
SCALE_DEVIATION = 0.5  # of the prior on 1 / temperature, whose mean is 1
FOLDS, FOLDINGS = 5, 10


@dataclass(frozen=True)
class Abstention:
    """Below which confidence an answer is withheld.

    Attributes:
        threshold: answers with at least this confidence (0..1) are given.
        selective_accuracy: share of right answers among those given, on the images it was fitted on.
        coverage: share of those images that were answered.
    """

    threshold: float
    selective_accuracy: float
    coverage: float

    def __post_init__(self) -> None:
        for name in ("threshold", "selective_accuracy"):
            if not _is_share(getattr(self, name)):
                raise ValueError(f"abstention: expected a {name} in 0..1, found {getattr(self, name)}")


@dataclass(frozen=True)
class Calibration:
    """What a bundle knows about its own certainty beyond the temperature.

    Attributes:
        bias: added to each class's logit after division by the temperature; empty for none.
        set_thresholds: for each coverage level of ``LEVELS`` the probability from which on an expression
            belongs to the prediction set.
        abstention: below which confidence to answer "uncertain"; None if no confidence gave the accuracy
            that was asked for.
        fitted_on: data, split, protocol, n, images left out and the like, as plain values.
    """

    bias: tuple[float, ...]
    set_thresholds: tuple[float, ...]
    abstention: Abstention | None
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.set_thresholds) != len(LEVELS) or not all(map(_is_share, self.set_thresholds)):
            raise ValueError(
                f"set_thresholds: expected {len(LEVELS)} numbers in 0..1, "
                f"found {len(self.set_thresholds)} values"
            )
        if not all(map(math.isfinite, self.bias)):
            raise ValueError(f"bias: expected numbers, found {list(self.bias)}")
        images = self.fitted_on.get("n", 0)
        if not isinstance(images, int) or isinstance(images, bool) or images < 0:
            raise ValueError(f"fitted_on: expected n to be a number of images, found {images!r}")

    def set_threshold(self, coverage: float) -> float:
        """From which probability on an expression belongs to a set that holds the truth so often.

        A coverage between two levels is served by the higher one.

        Raises:
            ValueError: if the coverage is out of the range of ``LEVELS``.
        """
        level = round(coverage * 1000, 6)
        if not LEVELS[0] <= level <= LEVELS[-1]:
            raise ValueError(
                f"coverage: expected a share from {LEVELS[0] / 1000} to {LEVELS[-1] / 1000}, got {coverage}"
            )
        return self.set_thresholds[math.ceil(level) - LEVELS[0]]


def softmax(
    logits: np.ndarray, temperature: float = 1.0, bias: Sequence[float] | np.ndarray = ()
) -> np.ndarray:
    """Calibrated probabilities, float64.

    Args:
        logits: (B, K), uncalibrated scores.
        temperature: above 1 makes the probabilities more even, below 1 more decided.
        bias: (K,), added to each class after that; empty for none.

    Returns:
        (B, K); each row sums to 1.

    >>> softmax(np.array([[0.0, 0.0]]), 1.5).tolist()
    [[0.5, 0.5]]
    """
    scaled = logits.astype(np.float64) / temperature
    if len(bias):
        scaled = scaled + np.asarray(bias, np.float64)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of validation labels by penalised likelihood (Guo et al. 2017, but for the penalty).

    Minimises the summed negative log-likelihood plus (1 / T - 1)^2 / (2 * 0.5^2), a normal prior on 1 / T
    without which T would run to its bound where all answers are right, as among few images they may be. Over
    thousands of images it weighs nothing. Convex in 1 / T, hence with one minimum along log T, which a golden
    section finds.

    Returns:
        T in 0.05..20, to four digits; probabilities are softmax(logits / T).
    """
    low, high = math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)

    def loss(t: float) -> float:
        unlikely = ((math.exp(-t) - 1) / SCALE_DEVIATION) ** 2 / 2
        return float(nll(softmax(logits, math.exp(t)), truth).sum()) + unlikely

    return round(math.exp(_golden_section(loss, low, high)), 4)


def _golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a loss with one minimum between ``low`` and ``high`` has it."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(50):  # to 1e-10 of the interval
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return (low + high) / 2


def fit_bias(logits: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Temperature and a bias for each class, by penalised likelihood (vector scaling with one scale).

    Minimises the summed negative log-likelihood of softmax(logits / T + b) plus |b|^2 / 2, a normal prior
    that keeps the bias of a class without images finite, plus that on 1 / T of ``fit_temperature``. Convex in
    (1 / T, b), solved by Newton's method.

    Returns:
        T, and b (K,).
    """
    n, classes = logits.shape
    scores = logits.astype(np.float64)
    design = np.concatenate(
        [scores[:, :, None], np.broadcast_to(np.eye(classes), (n, classes, classes))], axis=2
    )
    precision = np.append(SCALE_DEVIATION**-2, np.ones(classes))
    expected = np.append(1.0, np.zeros(classes))
    theta = expected

    def loss(theta: np.ndarray) -> float:
        unlikely = float(precision @ (theta - expected) ** 2) / 2
        return float(nll(softmax(design @ theta), truth).sum()) + unlikely

    for _ in range(50):
        probabilities = softmax(design @ theta)
        mean = np.einsum("nk,nkp->np", probabilities, design)
        gradient = (mean - design[np.arange(n), truth]).sum(axis=0) + precision * (theta - expected)
        weighted = (design * probabilities[:, :, None]).reshape(n * classes, -1)
        spread = weighted.T @ design.reshape(n * classes, -1) - mean.T @ mean
        step = np.linalg.solve(spread + np.diag(precision), gradient)
        size = 1.0
        while loss(theta - size * step) > loss(theta) and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    scale = float(np.clip(theta[0], 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE))
    return 1 / scale, theta[1:]


@dataclass(frozen=True)
class BiasTrial:
    """Whether a bias for each class helped on images that it was not fitted on.

    Attributes:
        gain: mean fall of the negative log-likelihood per image, by five-fold cross-validation over ten
            drawings of the folds.
        error: standard error of that gain over groups of images.
    """

    gain: float
    error: float

    @property
    def helps(self) -> bool:
        """The rule: the gain exceeds its standard error twice (about the one-sided 2.5 % level)."""
        return self.gain > 2 * self.error


def try_bias(logits: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> BiasTrial:
    """Cross-validates a bias for each class against the temperature alone.

    The folds are drawn ten times, and an image's gain is its mean over these, so that the verdict does not
    hang on one drawing.

    Args:
        logits: (N, K).
        truth: (N,).
        groups: (N,) integers; images of one group (copies) go into the same fold, and count as one draw in
            the standard error.
    """
    names, place = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = [(rng.permutation(len(names)) % FOLDS)[place] for _ in range(FOLDINGS)]
    gains = np.mean([_gains_of_bias(logits, truth, fold) for fold in drawn], axis=0)
    if len(names) < 2:
        return BiasTrial(float(gains.mean()), 0.0)
    beyond = np.bincount(place, gains - gains.mean())
    variance = np.sum(beyond**2) * len(names) / (len(names) - 1)
    return BiasTrial(float(gains.mean()), float(math.sqrt(variance) / len(gains)))


def _gains_of_bias(logits: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """By how much a bias lowers each image's negative log-likelihood, fitted on the other folds: (N,)."""
    gains = np.zeros(len(truth))
    for k in range(FOLDS):
        held, rest = fold == k, fold != k
        if not held.any() or not rest.any():
            continue
        temperature, bias = fit_bias(logits[rest], truth[rest])
        plain = softmax(logits[held], fit_temperature(logits[rest], truth[rest]))
        gains[held] = nll(plain, truth[held]) - nll(softmax(logits[held], temperature, bias), truth[held])
    return gains


def conformal_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Split-conformal thresholds on the probability of an expression, one for each level of ``LEVELS``.

    The set of all expressions with at least the threshold's probability holds the true one with at least the
    level's frequency, over images exchangeable with the N that it is fitted on (least ambiguous sets,
    Sadinle, Lei and Wasserman 2019; Vovk et al. 2005). With s the N probabilities of the true classes in
    falling order the threshold is s at the rank ceil((N + 1) level), and 0 (all expressions) where N is too
    small for that.

    Returns:
        Thresholds in 0..1, rounded down to 6 digits, which can only enlarge a set.
    """
    falling = np.sort(probabilities[np.arange(len(truth)), truth])[::-1]
    ranks = [-(-(len(truth) + 1) * level // 1000) for level in LEVELS]
    chosen = [float(falling[rank - 1]) if rank <= len(truth) else 0.0 for rank in ranks]
    return tuple(math.floor(value * 1e6) / 1e6 for value in chosen)


def prediction_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Which expressions belong to each face's set: (N, K) bool. The most probable always does."""
    members = probabilities >= threshold
    members[np.arange(len(members)), probabilities.argmax(axis=1)] = True
    return members


def fit_abstention(confidence: np.ndarray, right: np.ndarray, target: float) -> Abstention | None:
    """The lowest threshold from which on answers are right at least as often as the target says.

    Args:
        confidence: (N,), probability of the most probable class.
        right: (N,) bool, whether that is the true one.
        target: share of right answers among those given, in 0..1.

    Returns:
        None if no threshold reaches the target.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    accuracy = np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    last_of_ties = np.append(np.diff(falling) != 0, True)
    reaching = np.flatnonzero(last_of_ties & (accuracy >= target))
    if not len(reaching):
        return None
    at = int(reaching[-1])
    threshold = math.floor(float(falling[at]) * 1e6) / 1e6
    return Abstention(threshold, round(float(accuracy[at]), 6), round((at + 1) / len(right), 6))


def _is_share(value: float) -> bool:
    return 0 <= value <= 1

"""The figures of crossfer.metrics, image by image, from their definitions. -1 predicts nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence


def confusion_matrix(truth: Sequence[int], predicted: Sequence[int], classes: int) -> list[list[int]]:
    matrix = [[0] * classes for _ in range(classes)]
    for t, p in zip(truth, predicted, strict=True):
        if p != -1:
            matrix[t][p] += 1
    return matrix


def accuracy(truth: Sequence[int], predicted: Sequence[int]) -> float:
    right = 0
    for t, p in zip(truth, predicted, strict=True):
        if t == p:
            right += 1
    return right / len(truth)


def mean_class_accuracy(truth: Sequence[int], predicted: Sequence[int]) -> float:
    recalls = []
    for k in set(truth):
        of_class = [p for t, p in zip(truth, predicted, strict=True) if t == k]
        recalls.append(of_class.count(k) / len(of_class))
    return sum(recalls) / len(recalls)


def macro_f1(truth: Sequence[int], predicted: Sequence[int]) -> float:
    scores = []
    for k in set(truth) | {p for p in predicted if p != -1}:
        true_positives = false_positives = false_negatives = 0
        for t, p in zip(truth, predicted, strict=True):
            true_positives += t == k and p == k
            false_positives += t != k and p == k
            false_negatives += t == k and p != k
        scores.append(2 * true_positives / (2 * true_positives + false_positives + false_negatives))
    return sum(scores) / len(scores)


def negative_log_likelihood(probabilities: Sequence[Sequence[float]], truth: Sequence[int]) -> float:
    total = 0.0
    for row, t in zip(probabilities, truth, strict=True):
        total -= math.log(row[t])
    return total / len(truth)


def brier_score(probabilities: Sequence[Sequence[float]], truth: Sequence[int]) -> float:
    total = 0.0
    for row, t in zip(probabilities, truth, strict=True):
        for k, p in enumerate(row):
            total += (p - (1 if k == t else 0)) ** 2
    return total / len(truth)


def expected_calibration_error(
    probabilities: Sequence[Sequence[float]], truth: Sequence[int], bins: int
) -> float:
    error = 0.0
    for b in range(bins):
        members = []
        for row, t in zip(probabilities, truth, strict=True):
            last = b == bins - 1
            if b / bins <= max(row) < (b + 1) / bins or (last and max(row) >= 1):
                members.append((max(row), row.index(max(row)) == t))
        if members:
            confidence = sum(c for c, _ in members) / len(members)
            right = sum(r for _, r in members) / len(members)
            error += len(members) / len(truth) * abs(right - confidence)
    return error


def expected_calibration_error_of_equal_mass(
    probabilities: Sequence[Sequence[float]], truth: Sequence[int], bins: int
) -> float:
    n = len(truth)
    order = sorted(range(n), key=lambda i: max(probabilities[i]))
    outcomes: dict[float, list[bool]] = {}
    for row, t in zip(probabilities, truth, strict=True):
        outcomes.setdefault(max(row), []).append(row.index(max(row)) == t)
    error = 0.0
    for b in range(bins):
        members = [order[i] for i in range(n) if i * bins // n == b]
        if members:
            confidence = sum(max(probabilities[i]) for i in members)
            tied = [outcomes[max(probabilities[i])] for i in members]
            error += abs(sum(sum(rights) / len(rights) for rights in tied) - confidence) / n
    return error


def risk_at(confidence: Sequence[float], right: Sequence[bool], count: int) -> float:
    """Share of errors among the ``count`` surest images; tied ones at the edge count in proportion."""
    edge = sorted(confidence, reverse=True)[count - 1]
    surer = [not r for c, r in zip(confidence, right, strict=True) if c > edge]
    tied = [not r for c, r in zip(confidence, right, strict=True) if c == edge]
    return (sum(surer) + (count - len(surer)) * sum(tied) / len(tied)) / count

"""Conformal thresholds and abstention, image by image, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence


def conformal_threshold(chosen: Sequence[float], level: float) -> float:
    """``chosen`` are probabilities of the true classes; scores 1 - p, as in Sadinle et al. 2019."""
    n = len(chosen)
    scores = sorted(1 - p for p in chosen)
    rank = math.ceil(round((n + 1) * level, 9))
    return 0.0 if rank > n else 1 - scores[rank - 1]


def abstention(confidence: Sequence[float], right: Sequence[bool], target: float) -> float | None:
    """The lowest confidence from which on answers are right often enough."""
    best = None
    for threshold in confidence:
        given = [r for c, r in zip(confidence, right, strict=True) if c >= threshold]
        if sum(given) / len(given) >= target and (best is None or threshold < best):
            best = threshold
    return best

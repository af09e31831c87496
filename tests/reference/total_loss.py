"""L = L_cls + sum over j of lambda_j (L_fm_j + L_bs_j)."""

import math

import numpy as np


def soft_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the samples of -sum over the classes of target log softmax(logits)."""
    total = 0.0
    for scores, shares in zip(logits, targets, strict=True):
        normaliser = math.log(sum(math.exp(s) for s in scores))
        total += sum(share * (normaliser - s) for share, s in zip(shares, scores, strict=True))
    return total / len(logits)


def total_loss(
    classification: float, feature_map: dict[int, float], batch: dict[int, float], lambdas: dict[int, float]
) -> float:
    """The terms of every stage j that has a weight."""
    total = classification
    for j, weight in lambdas.items():
        total += weight * (feature_map[j] + batch[j])
    return total

"""InfoNCE: each cluster's mean code has to find its own centroid among all centroids of its set."""

import math

import numpy as np

from reference.cluster_means import cluster_means, cosine


def infonce_loss(sets: list[np.ndarray], centroids: list[np.ndarray], temperature: float) -> float:
    """B sets of codes (N, d) against B sets of centroids (K, d); empty clusters give no term."""
    terms = []
    for codes, c in zip(sets, centroids, strict=True):
        for k, mean in cluster_means(codes, c).items():
            scores = [cosine(mean, other) / temperature for other in c]
            terms.append(math.log(sum(math.exp(s) for s in scores)) - scores[k])
    return float(np.mean(terms))

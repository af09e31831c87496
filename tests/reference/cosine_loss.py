"""The released contrast: -0.5 times the mean cosine of each cluster's mean code and its centroid."""

import numpy as np

from reference.cluster_means import cluster_means, cosine


def cosine_loss(sets: list[np.ndarray], centroids: list[np.ndarray]) -> float:
    """B sets of codes (N, d) against B sets of centroids (K, d); empty clusters give no term."""
    terms = [
        cosine(mean, c[k])
        for codes, c in zip(sets, centroids, strict=True)
        for k, mean in cluster_means(codes, c).items()
    ]
    return -0.5 * float(np.mean(terms))

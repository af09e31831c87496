"""Each shallow code joins the centroid most similar by cosine; the codes of a cluster are averaged."""

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity; 0 where either vector is zero."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def assign(codes: np.ndarray, centroids: np.ndarray) -> list[int]:
    """(N, d), (K, d) -> the most similar centroid of each code, the first of equals."""
    return [int(np.argmax([cosine(code, c) for c in centroids])) for code in codes]


def cluster_means(codes: np.ndarray, centroids: np.ndarray) -> dict[int, np.ndarray]:
    """The mean code of every cluster that a code joined."""
    joined = assign(codes, centroids)
    return {
        k: np.mean([code for code, j in zip(codes, joined, strict=True) if j == k], axis=0)
        for k in sorted(set(joined))
    }

"""Lloyd's k-means from given starts, point by point."""

import numpy as np


def nearest(point: np.ndarray, centroids: np.ndarray) -> int:
    """The centroid at the smallest Euclidean distance, the first of equals."""
    return int(np.argmin([np.linalg.norm(point - c) for c in centroids]))


def lloyd(points: np.ndarray, start: np.ndarray, iterations: int) -> tuple[np.ndarray, list[int]]:
    """(N, d), (K, d) -> centroids and the assignment of each point; an empty cluster keeps its centroid."""
    centroids = start.copy()
    for _ in range(iterations):
        assignments = [nearest(p, centroids) for p in points]
        for k in range(len(centroids)):
            members = [p for p, a in zip(points, assignments, strict=True) if a == k]
            if members:
                centroids[k] = np.mean(members, axis=0)
    return centroids, [nearest(p, centroids) for p in points]


def inertia(points: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of squared distances to the nearest centroid."""
    return sum(float(np.square(p - centroids[nearest(p, centroids)]).sum()) for p in points)

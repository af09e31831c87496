"""Batched k-means: many small clusterings at once, with no loop over them and no wait for the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Clusters(NamedTuple):
    """Result of a batched k-means.

    Attributes:
        centroids: (B, K, d).
        assignments: (B, N) int64, the nearest centroid of each point; K for one that does not count.
    """

    centroids: Tensor
    assignments: Tensor


@torch.no_grad()
def kmeans(
    points: Tensor,
    k: int,
    *,
    iterations: int = 10,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
    among: Tensor | None = None,
) -> Clusters:
    """Lloyd's algorithm with a k-means++ start (Arthur and Vassilvitskii 2007), for a batch of point sets.

    A cluster that loses all its points keeps its centroid.

    Args:
        points: (B, N, d).
        k: K, clusters in each set.
        iterations: Lloyd steps, always that many, so that the host never waits for the device to decide.
        generator: source of the start's randomness, on the device of the points.
        start: (B, K, d) centroids to start from instead.
        among: (B, N) bool, the points that count; all if not given.

    Raises:
        ValueError: if a set is empty, K is not in 1..N, or the start is of another shape.
    """
    if points.ndim != 3 or points.numel() == 0:
        raise ValueError(f"points must be a non-empty (B, N, d) tensor, got shape {tuple(points.shape)}")
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f"k must be between 1 and the {points.shape[1]} points, got {k}")
    expected = (points.shape[0], k, points.shape[2])
    if start is not None and start.shape != expected:
        raise ValueError(f"start must have shape {expected}, got {tuple(start.shape)}")
    centroids = plus_plus(points, k, generator, among) if start is None else start
    for _ in range(iterations):
        means, occupied = cluster_means(points, _joined(points, centroids, among), k)
        centroids = torch.where(occupied[..., None], means, centroids)
    return Clusters(centroids, _joined(points, centroids, among))


def plus_plus(
    points: Tensor, k: int, generator: torch.Generator | None = None, among: Tensor | None = None
) -> Tensor:
    """k-means++ start, (B, K, d): each next one is drawn in proportion to its squared distance.

    Of the points (B, N, d) those count that ``among`` (B, N) names; all if it is not given.
    """
    b, n, _ = points.shape
    rows = torch.arange(b, device=points.device)
    weight = points.new_ones(b, n) if among is None else among.to(points.dtype)
    chosen = []
    for _ in range(k):
        # argmax of weight / Exp(1) draws with probability proportional to the weight, on the device.
        noise = torch.empty_like(weight).exponential_(generator=generator)
        centroid = points[rows, (weight / noise).argmax(dim=1)]
        distance = (points - centroid[:, None]).square().sum(-1)
        weight = weight * distance if not chosen else torch.minimum(weight, distance)
        chosen.append(centroid)
    return torch.stack(chosen, dim=1)


def _joined(points: Tensor, centroids: Tensor, among: Tensor | None) -> Tensor:
    found = nearest(points, centroids)
    return found if among is None else found.masked_fill(~among, centroids.shape[1])


def nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Index of the nearest centroid in Euclidean distance: (B, N, d), (B, K, d) -> (B, N)."""
    # (|p - c|^2 - |p|^2) / 2: the same order. Points come last, so that they are compared side by side, and
    # `min` is far faster than `argmin` over another dimension than the last.
    half = centroids.square().sum(-1, keepdim=True) / 2
    return torch.baddbmm(half, centroids, points.mT, alpha=-1).min(dim=1).indices


def cluster_means(points: Tensor, assignments: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Mean of each cluster's points, differentiable in the points.

    Args:
        points: (B, N, d).
        assignments: (B, N), the cluster of each point, 0..K-1; K for one that is in none.
        k: K.

    Returns:
        Means (B, K, d), zero for an empty cluster, and whether each cluster has a point (B, K).
    """
    clusters = torch.arange(k, device=points.device)[:, None]
    member = (assignments[:, None] == clusters).to(points.dtype)  # (B, K, N)
    count = member.sum(dim=2)
    return member @ points / count.clamp(min=1)[..., None], count > 0

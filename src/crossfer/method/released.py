"""The numerics of the released code, defects included, so that anyone can compare: ``variant = "released"``.

Found by running the released functions (Xie et al., IEEE TIP 33, 2024; the release has no licence, so this is
written from its behaviour). What is wrong with it, each held by a test:

* the codes of CLFM are indices, so that term has no gradient;
* an index is decoded with width 8 whatever the width of the map;
* CLFM's cosine runs over the clusters and not over the code;
* a cluster that no shallow code joined counts as perfectly aligned;
* positives only: a collapse of all features minimises the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfer.method import collectives
from crossfer.method.contrast import assign
from crossfer.method.kmeans import cluster_means, kmeans

POOL = 3
WIDTH = 8


def hash_codes(features: Tensor) -> Tensor:
    """Positions of the two highest cells of every channel, after a 3 x 3 average pool of stride 3.

    Args:
        features: f_j, (B, C, H, W).

    Returns:
        (B, C, 4) float32: (row1, col1, row2, col2), where row and column are the quotient and the remainder
        of the cell's index by 8.

    Raises:
        ValueError: if the pooled map has fewer than two cells.
    """
    if (features.shape[-2] // POOL) * (features.shape[-1] // POOL) < 2:
        raise ValueError(
            f"released codes need a map of at least {POOL} x {2 * POOL} cells, got "
            f"{features.shape[-2]} x {features.shape[-1]}; use a larger image"
        )
    indices = F.avg_pool2d(features.float(), POOL).flatten(2).topk(2, dim=-1).indices
    return torch.stack([indices // WIDTH, indices % WIDTH], dim=-1).flatten(-2).float()


def align(codes: Tensor, centroids: Tensor, *, over: int) -> Tensor:
    """-0.5 times the mean cosine similarity of cluster means and centroids.

    Args:
        codes: shallow codes, (B, N, d).
        centroids: (B, K, d).
        over: axis of the cosine: -1 over the code, -2 over the clusters.

    Returns:
        Scalar loss.
    """
    means, occupied = cluster_means(codes, assign(codes, centroids), centroids.shape[1])
    means = torch.where(occupied[..., None], means, centroids)
    return -0.5 * F.cosine_similarity(means, centroids, dim=over).mean()


def clfm_loss(
    features: Sequence[Tensor],
    stages: Sequence[int],
    *,
    k: int = 4,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """Released loss of each asked-for shallow stage against the deep one; without any gradient.

    Args:
        features: f_1 ... f_4, each (B, C_j, H_j, W_j).
        stages: the shallow stages (1-based).
        k: K_fm, clusters an image.
        generator: source of the k-means starts.
        start: (B, K, 4) centroids to start from instead.
    """
    centroids = kmeans(hash_codes(features[-1]), k, generator=generator, start=start).centroids
    return [align(hash_codes(features[j - 1]), centroids, over=-2) for j in stages]


def clbs_loss(
    vectors: Sequence[Tensor],
    stages: Sequence[int],
    *,
    k: int,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """Released loss over the samples of a batch.

    Args:
        vectors: one (B, d) tensor a stage, shallow to deep.
        stages: the shallow stages (1-based) to teach.
        k: K_bs, clusters in the batch.
        generator: source of the k-means start.
        start: (1, K, d) centroids to start from instead.

    Raises:
        ValueError: if the batch has fewer samples than clusters.
    """
    vectors = [collectives.gather(v) for v in vectors]
    if k > (batch := vectors[-1].shape[0]):
        raise ValueError(
            f"CLBS of variant 'released': expected at least {k} faces in a batch, one a cluster, "
            f"found {batch}; use larger batches or a smaller k_batch"
        )
    deep = vectors[-1].detach()[None]
    centroids = kmeans(deep, k, generator=generator, start=start).centroids
    return [align(vectors[j - 1][None], centroids, over=-1) for j in stages]

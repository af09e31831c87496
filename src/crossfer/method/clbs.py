"""CLBS: cross-layer contrast over the samples of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method import collectives
from crossfer.method.contrast import Comparison, align, assign, deep_centroids
from crossfer.method.controls import another, exchanged_centroids, match_gradients
from crossfer.method.precision import single

Projection = Literal["embedding", "stage"]


class EmbeddingProjection(nn.Module):
    """z_j -> sigmoid -> 3x3 convolution D -> 4 -> flatten: (B, D, G, G) -> (B, 4 G^2).

    The stages' embeddings are summed in MSR, so they live in one space and one projection serves all stages.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, 4, 3, padding=1)

    def forward(self, embeddings: Sequence[Tensor], stages: Sequence[int]) -> list[Tensor]:
        """A vector per sample for each of ``stages`` (1-based), of the embeddings of all stages."""
        z = (embeddings[j - 1].to(self.conv.weight.dtype) for j in stages)
        return [self.conv(torch.sigmoid(embedding)).flatten(1) for embedding in z]


class StageProjection(nn.Module):
    """f_j -> 1x1 convolution -> global average pool -> linear -> ReLU: (B, C_j, H_j, W_j) -> (B, dim)."""

    def __init__(self, channels: Sequence[int], dim: int = 512) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(c, dim, 1) for c in channels)
        self.linear = nn.Linear(dim, dim)

    def forward(self, features: Sequence[Tensor], stages: Sequence[int]) -> list[Tensor]:
        """A vector per sample for each of ``stages`` (1-based), of the feature maps of all stages."""
        # Pooling first: it commutes with a 1x1 convolution and saves nearly all of its cost.
        dtype = self.linear.weight.dtype
        means = ((j, features[j - 1].mean(dim=(2, 3), keepdim=True, dtype=dtype)) for j in stages)
        return [F.relu(self.linear(self.conv[j - 1](mean).flatten(1))) for j, mean in means]


def clbs_loss(
    vectors: Sequence[Tensor],
    stages: Sequence[int],
    *,
    k: int,
    how: Comparison = Comparison(),
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Loss of each asked-for shallow stage against the deep one, over the samples of a batch.

    Of several ranks each gives the vectors of its share, and each clusters those of the whole batch.

    Args:
        vectors: one (B, d) tensor a stage, shallow to deep; the last is the deep one.
        stages: the shallow stages (1-based) to teach.
        k: K_bs, clusters in the batch (the number of classes in the paper); a batch with fewer samples than
            that is clustered into as many clusters as it has samples, with a warning.
        how: how stages are compared; controls are scaled to the real gradient at the vectors.
        generator: source of the k-means start.

    Returns:
        One scalar for each of ``stages``.
    """
    vectors = [collectives.gather(v) for v in vectors]
    batch = vectors[-1].shape[0]
    if k > batch:
        warnings.warn(f"CLBS: {k} clusters asked for in a batch of {batch}; using {batch}", stacklevel=2)
        k = batch
    deep = _as_set(vectors[-1])
    centroids = deep_centroids(deep, k, stop_gradient=how.stop_gradient, generator=generator)
    sets = [_as_set(vectors[j - 1]) for j in stages]
    real = [align(points, centroids, how) for points in sets]
    if how.target == "clusters":
        return real
    if how.target == "permuted":
        order = another(batch, deep.device, generator)
        control = [
            align(points, centroids, how, assignments=assign(points, centroids)[:, order]) for points in sets
        ]
    else:
        towards = exchanged_centroids(centroids, how.target, generator)
        control = [align(points, towards, how) for points in sets]
    return match_gradients(real, control, at=[vectors[j - 1] for j in stages])


def _as_set(vectors: Tensor) -> Tensor:
    """(B, d) -> one set of B points, (1, B, d), in at least single precision.

    Centred: what all faces of the batch share says nothing about which of them are alike.
    """
    vectors = single(vectors)
    return (vectors - vectors.mean(dim=0)).unsqueeze(0)

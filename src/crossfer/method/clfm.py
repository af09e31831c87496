"""CLFM: cross-layer contrast over the feature maps of one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfer.method.coding import Coding, encode
from crossfer.method.contrast import Comparison, align, deep_centroids
from crossfer.method.controls import exchanged_centroids, match_gradients
from crossfer.method.precision import single


def clfm_loss(
    features: Sequence[Tensor],
    stages: Sequence[int],
    *,
    k: int = 4,
    coding: Coding = "pooled",
    how: Comparison = Comparison(),
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Loss of each asked-for shallow stage against the deep one.

    The channels of the deep map of an image are coded and clustered: each cluster is a latent semantic, a
    part of the face that several channels look at. The channels of a shallow map are coded alike and pulled
    to those clusters.

    Args:
        features: f_1 ... f_4, each (B, C_j, H_j, W_j); the last is the deep one and gives the common grid.
        stages: the shallow stages (1-based) to teach.
        k: K_fm, clusters an image.
        coding: how a channel becomes a code, see :func:`crossfer.method.coding.encode`.
        how: how stages are compared; controls are scaled to the gradient of the real term at f_j.
        generator: source of the k-means starts.

    Returns:
        One scalar for each of ``stages``.
    """
    grid = features[-1].shape[-1]
    deep = encode(features[-1], grid, coding)
    centroids = deep_centroids(deep, k, stop_gradient=how.stop_gradient, generator=generator)
    maps = [features[j - 1] for j in stages]
    if how.target != "clusters":
        # Their gradients are measured here, before a scaler has made them larger: too small for float16.
        maps = [single(f) for f in maps]
    codes = [encode(f, grid, coding) for f in maps]

    def losses(towards: Tensor) -> list[Tensor]:
        return [align(c, towards, how, shared=True) for c in codes]

    real = losses(centroids)
    if how.target == "clusters":
        return real
    control = losses(exchanged_centroids(centroids, how.target, generator))
    return match_gradients(real, control, at=maps)

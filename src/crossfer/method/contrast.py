"""The contrast itself: codes of a shallow stage against the clusters found in the deep one.

Both modules of the paper, over feature maps (CLFM) and over the batch (CLBS), end here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfer.method import collectives
from crossfer.method.choice import one_of
from crossfer.method.controls import Target
from crossfer.method.kmeans import cluster_means, kmeans

Contrast = Literal["infonce", "cosine"]


@dataclass(frozen=True)
class Comparison:
    """How a shallow stage is compared with the deep one, in both terms alike.

    Attributes:
        contrast: ``"cosine"``: -0.5 times the mean cosine similarity (as released; positives only).
            ``"infonce"``: cross entropy of each mean against all centroids of its own set, so that the other
            clusters repel.
        temperature: of the InfoNCE softmax, > 0.
        stop_gradient: whether the deep stage teaches without being taught.
        target: what is pulled to: its own of the ``"clusters"``; for controls those of another image or
            sample (``"permuted"``) or ``"random"`` directions, scaled to the gradient of the real term, see
            :mod:`crossfer.method.controls`.

    Raises:
        ValueError: on values out of range.
    """

    contrast: Contrast = "infonce"
    temperature: float = 0.1
    stop_gradient: bool = True
    target: Target = "clusters"

    def __post_init__(self) -> None:
        one_of("contrast", self.contrast, Contrast)
        if not self.temperature > 0:  # written so that NaN is refused too
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        one_of("target", self.target, Target)


def deep_centroids(
    codes: Tensor, k: int, *, stop_gradient: bool = True, generator: torch.Generator | None = None
) -> Tensor:
    """Latent semantics: the centroids of the deep codes.

    Args:
        codes: deep codes, (B, N, d).
        k: K, number of clusters.
        stop_gradient: keep the deep stage out of the loss, so that it teaches and is not taught.
        generator: source of the k-means start.

    Returns:
        (B, K, d); differentiable in the codes unless ``stop_gradient``.
    """
    clusters = kmeans(codes.detach(), k, generator=generator, among=has_direction(codes))
    if stop_gradient:
        return clusters.centroids
    means, occupied = cluster_means(codes, clusters.assignments, k)
    return torch.where(occupied[..., None], means, clusters.centroids)


def has_direction(codes: Tensor) -> Tensor:
    """Which codes are not zero: (B, N, d) -> (B, N) bool.

    A dead channel looks at nothing. Equally near to all centroids, it would join one by rounding alone.
    """
    return codes.detach().any(dim=-1)


@torch.no_grad()
def assign(codes: Tensor, centroids: Tensor) -> Tensor:
    """The centroid most similar by cosine: (B, N, d), (B, K, d) -> (B, N) int64."""
    # The length of a code does not change which centroid is most similar, so it need not be normalised here.
    return (codes @ F.normalize(centroids, dim=-1).mT).argmax(dim=-1)


def align(
    codes: Tensor,
    centroids: Tensor,
    how: Comparison = Comparison(),
    *,
    assignments: Tensor | None = None,
    shared: bool = False,
) -> Tensor:
    """Pull the clusters of shallow codes to the deep centroids.

    Each shallow code joins the centroid most similar by cosine; the mean of a cluster's codes is compared
    with its centroid. Codes that are zero join none. Clusters that no shallow code joined give no term.

    Args:
        codes: shallow codes, (B, N, d).
        centroids: (B, K, d).
        how: contrast and temperature.
        assignments: (B, N), the cluster that each code joins instead.
        shared: whether these sets are this rank's share of a batch, so that the mean is that of all ranks.

    Returns:
        Scalar loss: at least -0.5 for ``"cosine"``; log K for ``"infonce"`` where all centroids are equal; 0
        where all codes are zero.
    """
    k = centroids.shape[1]
    towards = F.normalize(centroids, dim=-1)
    joined = assign(codes, centroids) if assignments is None else assignments
    means, occupied = cluster_means(codes, joined.masked_fill(~has_direction(codes), k), k)
    similarity = F.normalize(means, dim=-1) @ towards.mT
    if how.contrast == "cosine":
        terms = -0.5 * similarity.diagonal(dim1=1, dim2=2)
    else:
        terms = -(similarity / how.temperature).log_softmax(dim=-1).diagonal(dim1=1, dim2=2)
    weight = occupied.to(terms.dtype)
    number = collectives.total(weight.sum()) / collectives.count() if shared else weight.sum()
    return (terms * weight).sum() / torch.where(number > 0, number, 1)

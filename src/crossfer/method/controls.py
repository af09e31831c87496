"""Controls for the claim that cross-layer terms teach: the same terms with targets that mean nothing.

Any auxiliary loss on a shallow stage raises the gradient there. To tell whether *what* is taught matters, the
targets are exchanged, and each control's gradient is scaled to the size of the real one's, step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from crossfer.method import collectives

Target = Literal["clusters", "permuted", "random"]


def exchanged_centroids(centroids: Tensor, target: Target, generator: torch.Generator | None) -> Tensor:
    """Centroids that mean nothing to the set they are given to.

    Args:
        centroids: (B, K, d).
        target: ``"permuted"``: those of another set of the batch, chosen at random; ``"random"``: random
            directions of the same lengths.
        generator: source of the randomness, on the device of the centroids.

    Returns:
        (B, K, d).
    """
    if target == "permuted":
        return centroids[another(len(centroids), centroids.device, generator)]
    noise = torch.randn(centroids.shape, generator=generator, device=centroids.device, dtype=centroids.dtype)
    return noise * (centroids.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))


def another(n: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """For each of ``n`` things another one, no two the same: a random cycle, (n,) int64; 0 if n = 1."""
    order = torch.randperm(n, generator=generator, device=device)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def match_gradients(real: Sequence[Tensor], control: Sequence[Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    """Scale each control so that its gradient is as large as that of the real term.

    Args:
        real: scalar losses, one a stage.
        control: scalar losses, one a stage.
        at: where the gradients are compared, one tensor a stage that both depend on.

    Returns:
        The scaled controls; one without a gradient stays as it is.
    """
    scaled = []
    for ours, theirs, x in zip(real, control, at, strict=True):
        wanted, found = (_norm(torch.autograd.grad(term, x, retain_graph=True)[0]) for term in (ours, theirs))
        factor = torch.where(found > 0, wanted / found, torch.ones_like(found))
        scaled.append(factor.detach() * theirs)
    return scaled


def _norm(gradient: Tensor) -> Tensor:
    """Of the whole batch, where it lies on several ranks."""
    return gradient.norm() if collectives.count() == 1 else collectives.total(gradient.square().sum()).sqrt()

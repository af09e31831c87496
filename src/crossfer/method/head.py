"""The evidence head: a classifier whose every logit is an exact sum over the cells of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from crossfer.method import collectives
from crossfer.method.choice import one_of
from crossfer.method.precision import single

BatchMean = Literal["running", "none", "batch"]
Branch = Literal["msr", "gap", "msr+gap"]


class EvidenceHead(nn.Module):
    """Logits as sums of evidence over a G x G grid.

    With m the mean of x over channels and mu the mean of m over the batch (a running mean in evaluation),

        evidence[c, u, v] = W[c, u, v] (m[u, v] + mu[u, v]) + b[c] / G^2
                            [ + share(V[c] . f_4 / (H_4 W_4))[u, v] ]
        logits[c]         = sum over u, v of evidence[c, u, v]

    The part in brackets is a global average pool of the deep features followed by a linear layer, written per
    cell of the deep map and shared out to the cells of the grid by area, which keeps its sum.

    Args:
        deep_channels: C_4, channels of the deep features.
        grid: G.
        num_classes: K.
        batch_mean: ``"running"``, the batch's mean while training and its running mean in evaluation, so that
            a prediction never depends on the other faces of its batch; ``"none"`` leaves mu out; ``"batch"``
            as released: the batch's mean in evaluation too, so that a prediction depends on its batch.
        branch: ``"msr"``, the paper's head; ``"msr+gap"`` adds the part in brackets; ``"gap"``, the head of a
            plain ResNet, has that part (and the bias) alone.
        momentum: of the running mean.
    """

    running_mean: Tensor

    def __init__(
        self,
        *,
        deep_channels: int,
        grid: int,
        num_classes: int,
        batch_mean: BatchMean = "running",
        branch: Branch = "msr+gap",
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        one_of("batch_mean", batch_mean, BatchMean)
        one_of("branch", branch, Branch)
        self.grid = grid
        self.batch_mean = batch_mean
        self.momentum = momentum
        bound = 1 / grid
        self.weight = (
            nn.Parameter(torch.empty(num_classes, grid, grid).uniform_(-bound, bound))
            if branch != "gap"
            else None
        )
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.pooled_weight = (
            nn.Parameter(torch.empty(num_classes, deep_channels).uniform_(-1, 1) / math.sqrt(deep_channels))
            if branch != "msr"
            else None
        )
        if batch_mean == "running" and branch != "gap":
            self.register_buffer("running_mean", torch.zeros(grid, grid))

    def forward(self, x: Tensor | None, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Classify.

        Args:
            x: (B, D, G, G), the fused representation; not used with branch ``"gap"``.
            deep: f_4, (B, C_4, H_4, W_4), the deep features; not used with branch ``"msr"``.

        Returns:
            Logits (B, K) and evidence (B, K, G, G), both float32 (float64 for float64 input).
        """
        # In single precision whatever the autocast: the sum of the evidence has to be the logit to 1e-5.
        with torch.autocast(deep.device.type, enabled=False):
            evidence = (self.bias / self.grid**2)[:, None, None]
            if self.weight is not None:
                m = self._shift(single(cast(Tensor, x)).mean(dim=1))
                evidence = evidence + self.weight * m[:, None]
            if self.pooled_weight is not None:
                deep = single(deep) / (deep.shape[-2] * deep.shape[-1])
                cells = torch.einsum("kd,bdij->bkij", self.pooled_weight, deep)
                evidence = evidence + share_by_area(cells, self.grid)
            return evidence.sum(dim=(2, 3)), evidence

    def _shift(self, m: Tensor) -> Tensor:
        """Add mu to m, (B, G, G)."""
        if self.batch_mean == "none":
            return m
        if self.batch_mean == "running" and not self.training:
            return m + self.running_mean
        mu = m.mean(dim=0)
        if self.training:
            mu = collectives.mean(mu)
        if self.batch_mean == "running":
            with torch.no_grad():
                self.running_mean.lerp_(mu.to(self.running_mean.dtype), self.momentum)
        return m + mu


def share_by_area(cells: Tensor, grid: int) -> Tensor:
    """Share what each cell of one grid holds among the cells of another that it overlaps; the sum is kept.

    (..., H, W) -> (..., G, G).

    >>> share_by_area(torch.tensor([[4.0]]), 2)
    tensor([[1., 1.],
            [1., 1.]])
    """
    shares = area_shares(cells.shape[-2:], grid, cells)
    return (cells.flatten(-2) @ shares).unflatten(-1, (grid, grid))


def area_shares(sides: Sequence[int], grid: int, like: Tensor) -> Tensor:
    """What each cell of H x W gives to each of G x G, flattened, as a tensor like another: (H W, G^2)."""
    rows, columns = (_overlap(side, grid, like) for side in sides)
    return torch.kron(rows, columns).mT


def _overlap(side: int, grid: int, like: Tensor) -> Tensor:
    """Fraction of each of ``side`` equal parts of a line in each of ``grid`` such parts: (G, side)."""
    theirs = torch.arange(side + 1, device=like.device, dtype=like.dtype) / side
    ours = torch.arange(grid + 1, device=like.device, dtype=like.dtype)[:, None] / grid
    common = torch.minimum(ours[1:], theirs[1:]) - torch.maximum(ours[:-1], theirs[:-1])
    return common.clamp(min=0) * side

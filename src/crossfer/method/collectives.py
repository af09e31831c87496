"""A batch that lies in parts on several ranks of ``torch.distributed``; in one process nothing is done.

Each function must be called by all ranks. Gradients are those of the mean of the ranks' losses, which is what
an average of the ranks' gradients descends.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def count() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """The parts of all ranks in their order, (B, ...) -> (ranks * B, ...); differentiable."""
    return x if count() == 1 else _Gather.apply(x)


def mean(x: Tensor) -> Tensor:
    """The mean of a tensor over the ranks; differentiable."""
    return x if count() == 1 else _Sum.apply(x) / count()


@torch.no_grad()
def total(x: Tensor) -> Tensor:
    """The sum of a tensor over the ranks, without a gradient."""
    if count() == 1:
        return x
    summed = x.clone()
    dist.all_reduce(summed)
    return summed


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        # Every rank's loss depends on this rank's part.
        return total(grad[0]).chunk(count())[dist.get_rank()]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return total(x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        return total(grad[0])

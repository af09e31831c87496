"""Latent-semantic codes: what each channel of a feature map looks at, as a short vector.

Every stage is brought to one common g x g grid first, so that codes of shallow and deep channels can be
compared.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfer.method.choice import one_of
from crossfer.method.precision import single

Coding = Literal["pooled", "straight_through", "hash"]


def encode(features: Tensor, grid: int, coding: Coding) -> Tensor:
    """Codes of every channel of a stage.

    Args:
        features: f_j, (B, C, H, W).
        grid: g, side of the common grid; adaptive average pooling brings the map to it.
        coding: ``"pooled"``: the g x g map itself, L2-normalised (d = g^2). ``"hash"``: positions (row,
            column) of the two highest cells, scaled to [-1, 1] (d = 4); it has no gradient.
            ``"straight_through"``: the same values, with the gradient of a soft-argmax.

    Returns:
        (B, C, d) in float32 (float64 for float64 input); the code of a channel that is zero is zero.

    Raises:
        ValueError: if the grid has fewer than two positions a side, or the coding is not known.
    """
    if features.ndim != 4 or features.shape[0] == 0:
        raise ValueError(
            f"features must be a non-empty (B, C, H, W) batch, got shape {tuple(features.shape)}"
        )
    if grid < 2:
        raise ValueError(f"the common grid must have at least 2 x 2 positions, got {grid} x {grid}")
    # Pooled before it is brought to single precision: another copy of f_1 costs more than all that follows.
    maps = single(F.adaptive_avg_pool2d(features, grid).flatten(2))
    # A dead channel has no direction to learn; normalising it would divide its gradient by nearly nothing.
    live = maps.detach().abs().amax(dim=-1, keepdim=True) > 1e-12
    maps = torch.where(live, maps, torch.zeros_like(maps))
    if coding == "pooled":
        return F.normalize(maps, dim=-1)
    one_of("coding", coding, Coding)
    codes = top_two_positions(maps, grid)
    if coding == "straight_through":
        soft = _soft_top_two(maps, grid)
        codes = soft + (codes - soft).detach()
    return torch.where(live, codes, torch.zeros_like(codes))


def positions(grid: int, like: Tensor) -> Tensor:
    """(row, column) of every cell in reading order, each scaled to [-1, 1]: (g^2, 2)."""
    axis = torch.linspace(-1, 1, grid, device=like.device, dtype=like.dtype)
    return torch.cartesian_prod(axis, axis)


def top_two_positions(maps: Tensor, grid: int) -> Tensor:
    """Hash code: (row1, col1, row2, col2) of the two highest cells; (B, C, g^2) -> (B, C, 4)."""
    indices = maps.topk(2, dim=-1).indices
    return positions(grid, maps)[indices].flatten(-2)


def _soft_top_two(maps: Tensor, grid: int) -> Tensor:
    """Differentiable stand-in, (B, C, 4): soft-argmax of the map, and of the map without its highest cell."""
    # Standardised, so that the softness does not depend on how strong a channel is.
    centred = maps - maps.mean(-1, keepdim=True)
    scores = centred * (centred.square().mean(-1, keepdim=True) + 1e-12).rsqrt()
    highest = F.one_hot(maps.argmax(dim=-1), maps.shape[-1]).bool()
    place = positions(grid, maps)
    first = scores.softmax(dim=-1) @ place
    second = scores.masked_fill(highest, float("-inf")).softmax(dim=-1) @ place
    return torch.cat([first, second], dim=-1)

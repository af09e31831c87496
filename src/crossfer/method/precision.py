"""At least single precision, for what would be too coarse in half: sums, distances and gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def single(x: Tensor) -> Tensor:
    """A tensor of any shape in float32; one in float64 stays as it is."""
    return x if x.dtype == torch.float64 else x.float()

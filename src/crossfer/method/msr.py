"""MSR: the multi-scale representation of the paper, which fuses the four stages on one grid.

Each stage is rearranged to the same side by a pixel shuffle, cut into patches on a G x G grid, weighted by
its own attention and summed. Sizes come from the arguments, never from constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method.choice import one_of

Weighting = Literal["adaptive", "sum"]


class PatchGeometry(NamedTuple):
    """Kernel, stride and padding of one patch-embedding convolution."""

    kernel: int
    stride: int
    padding: int


class MSROutput(NamedTuple):
    """What MSR gives.

    Attributes:
        fused: x, (B, D, G, G).
        embeddings: z_1 ... z_4, each (B, D, G, G).
        weights: a_1 ... a_4, (B, 4), in 0..1 (all 1 with ``weighting="sum"``).
    """

    fused: Tensor
    embeddings: tuple[Tensor, ...]
    weights: Tensor


def patch_geometry(side: int, grid: int, stage: int) -> PatchGeometry:
    """A convolution from stage ``stage`` (1..4), shuffled to ``side``, to ``grid`` cells.

    The kernel spans at least two cells of the stage before the shuffle (2^(j+1) pixels after it), as
    released, and at least the stride, so that no pixel is left out.

    >>> patch_geometry(112, 11, 1), patch_geometry(48, 6, 4)
    (PatchGeometry(kernel=12, stride=10, padding=0), PatchGeometry(kernel=32, stride=8, padding=12))

    Raises:
        ValueError: if the map has fewer pixels a side than the grid has cells.
    """
    if not 1 <= grid <= side:
        raise ValueError(f"grid must be between 1 and the shuffled side {side}, got {grid}")
    stride = side // grid
    span = (grid - 1) * stride
    kernel = max(2 ** (stage + 1), side - span)
    if stride == 1 and (kernel + span - side) % 2:
        # Padding is the same on both sides, and at stride 1 an odd pixel would be one cell too many.
        kernel += 1
    return PatchGeometry(kernel, stride, (kernel + span - side + 1) // 2)


class MSR(nn.Module):
    """Multi-scale representation: reshape, embed, weight, fuse.

    Args:
        channels: C_1 ... C_4 of the encoder.
        side: side to which the pixel shuffles bring every stage (2^j times the side of stage j).
        dim: D, channels of an embedding (128 in the paper).
        grid: G, cells a side (11 in the paper).
        weighting: ``"adaptive"``, a_j = sigmoid(w . GAP(conv3x3(z_j)) + b), shared over the stages; or
            ``"sum"``, the released behaviour.
        embed_norm: batch norm on each z_j, so that no stage drowns the others by the size of its features;
            False as released.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        side: int,
        dim: int = 128,
        grid: int = 11,
        weighting: Weighting = "adaptive",
        embed_norm: bool = True,
    ) -> None:
        super().__init__()
        one_of("weighting", weighting, Weighting)
        self.weighting = weighting
        self.adapters = nn.ModuleList(_adapter(c, j) for j, c in enumerate(channels, start=1))
        self.embed = nn.ModuleList(
            nn.Conv2d(-(-c // 4**j), dim, *patch_geometry(side, grid, j))
            for j, c in enumerate(channels, start=1)
        )
        self.norm = nn.ModuleList(nn.BatchNorm2d(dim) if embed_norm else nn.Identity() for _ in channels)
        if weighting == "adaptive":
            self.attention_conv = nn.Conv2d(dim, dim, 3, padding=1)
            self.attention_linear = nn.Linear(dim, 1)
        self.fuse = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim))

    def forward(self, features: Sequence[Tensor]) -> MSROutput:
        """Fuse f_1 ... f_4, each (B, C_j, H_j, W_j)."""
        layers = zip(features, self.adapters, self.embed, self.norm, strict=True)
        embeddings = tuple(
            norm(embed_shuffled(adapt(f), cast(nn.Conv2d, embed), 2**j))
            for j, (f, adapt, embed, norm) in enumerate(layers, start=1)
        )
        weights = self._weights(embeddings)
        shares = weights.to(embeddings[0].dtype).unbind(dim=1)
        weighted = [z * a[:, None, None, None] for z, a in zip(embeddings, shares, strict=True)]
        return MSROutput(self.fuse(torch.stack(weighted).sum(dim=0)), embeddings, weights)

    def _weights(self, embeddings: Sequence[Tensor]) -> Tensor:
        """a_j for every image: four of (B, D, G, G) -> (B, 4)."""
        if self.weighting == "sum":
            return embeddings[0].new_ones(embeddings[0].shape[0], len(embeddings))
        pooled = torch.stack([mean_of_convolution(z, self.attention_conv) for z in embeddings], dim=1)
        return torch.sigmoid(self.attention_linear(pooled)).squeeze(-1)


def embed_shuffled(f: Tensor, convolution: nn.Conv2d, r: int) -> Tensor:
    """The convolution of ``pixel_shuffle(f, r)``, without building that map: (B, C, H, W) -> (B, D, G, G).

    Where kernel, stride and padding are multiples of b, a shuffle by r and a convolution are a shuffle by r/b
    and a convolution with the kernel *un*shuffled by b; the largest such b is taken. That reads the map as it
    lies in memory, and more channels under smaller kernels are what convolutions are fast at.
    """
    b = kept_in_kernel(convolution, r)
    x, weight = _shuffle(f, r // b, keep=b), F.pixel_unshuffle(convolution.weight, b)
    stride, padding = convolution.stride[0] // b, int(convolution.padding[0]) // b
    if x.shape[1] < 32 and stride > 1 and _in_bfloat16(x.device):
        # On processors with AMX, torch 2.13.0 gives other values than some of these convolutions.
        with torch.autocast("cpu", enabled=False):
            exact = F.conv2d(x.float(), weight.float(), convolution.bias, stride, padding)
        return exact.to(x.dtype)
    return F.conv2d(x, weight, convolution.bias, stride, padding)


def _in_bfloat16(device: torch.device) -> bool:
    """Whether a CPU computes in bfloat16 here."""
    kind = device.type
    return (
        kind == "cpu" and torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
    )


def kept_in_kernel(convolution: nn.Conv2d, r: int) -> int:
    """How much of a pixel shuffle by r the kernel takes over: b of ``embed_shuffled``."""
    return math.gcd(r, convolution.kernel_size[0], convolution.stride[0], int(convolution.padding[0]))


def _shuffle(f: Tensor, a: int, keep: int) -> Tensor:
    """The coarse part of a pixel shuffle by a * keep: (B, C, H, W) -> (B, C / a^2, a H, a W)."""
    if a == 1:
        return f
    batch, channels, height, width = f.shape
    fine = channels // a**2
    parts = f.unflatten(1, (fine // keep**2, a, keep, a, keep)).permute(0, 6, 2, 7, 4, 1, 3, 5)
    return parts.reshape(batch, a * height, a * width, fine).permute(0, 3, 1, 2)


def mean_of_convolution(z: Tensor, convolution: nn.Conv2d) -> Tensor:
    """The mean over the map of a 3x3 convolution of it, padded by 1: (B, D, G, G) -> (B, D).

    Being linear, it needs no convolution: each of the nine taps sees the whole map but for a row or column.
    """
    grid = z.shape[-1]
    place = torch.arange(grid, device=z.device)
    seen = torch.stack([place < grid - 1, place >= 0, place > 0]).to(z.dtype)  # (3, G), by taps -1, 0, 1
    cells = torch.kron(seen, seen) / grid**2  # (9, G^2)
    sums = z.flatten(2) @ cells.T  # (B, D, 9)
    return F.linear(sums.flatten(1), convolution.weight.flatten(1), convolution.bias)


def _adapter(channels: int, stage: int) -> nn.Module:
    """Narrow nets: a 1x1 convolution to the next multiple of 4^j, which the pixel shuffle needs."""
    needed = -(-channels // 4**stage) * 4**stage
    return nn.Identity() if needed == channels else nn.Conv2d(channels, needed, 1)

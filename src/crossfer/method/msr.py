"""MSR: the multi-scale representation of the paper, which fuses the four stages on one grid.

Each stage is rearranged to the same side by a pixel shuffle, cut into patches on a G x G grid, weighted by
its own attention and summed. Sizes come from the arguments, never from constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        kernel += (
            1  # padding is the same on both sides, and at stride 1 an odd pixel would be one cell too many
        )
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
        if weighting not in ("adaptive", "sum"):
            raise ValueError(f"weighting must be 'adaptive' or 'sum', got {weighting!r}")
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
        shuffled = (
            F.pixel_shuffle(adapt(f), 2**j)
            for j, (f, adapt) in enumerate(zip(features, self.adapters, strict=True), start=1)
        )
        embeddings = tuple(
            norm(_embed(cast(nn.Conv2d, embed), s))
            for norm, embed, s in zip(self.norm, self.embed, shuffled, strict=True)
        )
        stacked = torch.stack(embeddings, dim=1)
        weights = self._weights(stacked)
        fused = self.fuse((stacked * weights[:, :, None, None, None].to(stacked.dtype)).sum(dim=1))
        return MSROutput(fused, embeddings, weights)

    def _weights(self, stacked: Tensor) -> Tensor:
        """a_j for every image: (B, 4, D, G, G) -> (B, 4)."""
        if self.weighting == "sum":
            return stacked.new_ones(stacked.shape[:2])
        pooled = self.attention_conv(stacked.flatten(0, 1)).mean(dim=(2, 3))
        return torch.sigmoid(self.attention_linear(pooled)).unflatten(0, stacked.shape[:2]).squeeze(-1)


def _embed(convolution: nn.Conv2d, shuffled: Tensor) -> Tensor:
    """Apply a patch-embedding convolution: (B, C, side, side) -> (B, D, G, G).

    On a CPU as one matrix product over patches: gradients of large kernels on few channels are slow there,
    and on processors with AMX torch 2.13.0's bfloat16 convolution with 8 or 16 channels and kernel = stride
    = 8 gives other values than it should (relative error 1.1). An exported graph keeps the convolution.
    """
    if shuffled.device.type != "cpu" or torch.compiler.is_exporting():
        return convolution(shuffled)
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    padded = F.pad(shuffled, (int(convolution.padding[0]),) * 4).contiguous()
    patches = padded.unfold(2, kernel, stride).unfold(3, kernel, stride)  # (B, C, G, G, kernel, kernel)
    rows = patches.permute(0, 2, 3, 1, 4, 5).flatten(3)
    return F.linear(rows, convolution.weight.flatten(1), convolution.bias).permute(0, 3, 1, 2)


def _adapter(channels: int, stage: int) -> nn.Module:
    """Narrow nets: a 1x1 convolution to the next multiple of 4^j, which the pixel shuffle needs."""
    needed = -(-channels // 4**stage) * 4**stage
    return nn.Identity() if needed == channels else nn.Conv2d(channels, needed, 1)

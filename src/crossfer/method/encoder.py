"""ResNet encoder that hands out the feature maps of its four stages.

Parameter names are torchvision's (``conv1``, ``bn1``, ``layer1.0.conv1`` ... ``layer4.1.bn2``), so that
weights published for those networks fit once they are in safetensors. Architecture: He et al., "Deep Residual
Learning for Image Recognition", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method.choice import one_of

Stem = Literal["standard", "small"]
STAGES = 4
BLOCKS = {10: (1, 1, 1, 1), 14: (1, 1, 2, 2), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        self.stride = stride
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """One residual block."""
        # Pooling a single pixel takes those that a strided 1x1 convolution would see, whose own gradient, in
        # torch 2.13.0 on CPUs, writes past its memory where channels and images are few.
        shortcut = x if self.downsample is None else self.downsample(F.max_pool2d(x, 1, self.stride))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(nn.Module):
    """ResNet-10, -14, -18 or -34 with four taps.

    Args:
        depth: 10 (a single block a stage), 14 (a second one in stages 3 and 4), 18 (two) or 34.
        width: channels of the first stage (64 in the paper); stage j has ``width * 2 ** (j - 1)``.
        channels: of the four stages, instead of those that follow from ``width``.
        in_channels: 3 for RGB, 1 for grey.
        stem: ``"standard"`` halves twice before stage 1 (7x7 stride 2, then max pool), for 224 px;
            ``"small"`` halves once (3x3 stride 1, then max pool), for 48 to 112 px.
    """

    def __init__(
        self,
        *,
        depth: int = 18,
        width: int = 64,
        channels: Sequence[int] | None = None,
        in_channels: int = 3,
        stem: Stem = "standard",
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth must be one of {sorted(BLOCKS)}, got {depth}")
        one_of("stem", stem, Stem)
        if channels is not None and len(channels) != STAGES:
            raise ValueError(f"channels must be those of {STAGES} stages, got {list(channels)}")
        self.channels = stage_channels(width) if channels is None else tuple(channels)
        first = self.channels[0]
        self.conv1 = (
            nn.Conv2d(in_channels, first, 7, 2, 3, bias=False)
            if stem == "standard"
            else nn.Conv2d(in_channels, first, 3, 1, 1, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(first if j == 0 else self.channels[j - 1], c, n, stride=1 if j == 0 else 2)
            for j, (c, n) in enumerate(zip(self.channels, BLOCKS[depth], strict=True))
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Feature maps of the four stages.

        Args:
            images: (B, in_channels, S, S).

        Returns:
            f_1 ... f_4, f_j of shape (B, channels[j - 1], H_j, W_j) with H_1 = S / 4 (standard stem) or S / 2
            (small stem), and every further stage half of the one before.
        """
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        f1 = self.layer1(x)
        f2 = self.layer2(f1)
        f3 = self.layer3(f2)
        return f1, f2, f3, self.layer4(f3)


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))


def stage_channels(width: int) -> tuple[int, ...]:
    """Channels of the four stages of a ResNet that is ``width`` channels wide at first.

    >>> stage_channels(64)
    (64, 128, 256, 512)
    """
    return tuple(width * 2**j for j in range(STAGES))


def feature_sides(image_size: int, stem: Stem) -> tuple[int, int, int, int]:
    """Sides of f_1 ... f_4 for a square input.

    >>> feature_sides(224, "standard"), feature_sides(48, "small")
    ((56, 28, 14, 7), (24, 12, 6, 3))

    Raises:
        ValueError: if the input is not a whole number of deepest cells wide.
    """
    first = 4 if stem == "standard" else 2
    if image_size <= 0 or image_size % (first * 8):
        raise ValueError(
            f"image_size must be a positive multiple of {first * 8} with the {stem} stem, got {image_size}"
        )
    s = image_size // first
    return s, s // 2, s // 4, s // 8

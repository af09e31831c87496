"""The trained network with what is linear in a row made one step: the same answers with less work.

Two parts of MSR end in a mean or a single number, so that all of their channels but that one need never be
computed: an attention logit is one weighted sum over z_j, and the head reads only the mean of the fused
channels, which is itself one convolution. At D = 64 that is 74,000 weights that a model file need not hold.
Batch norms are part of the convolutions before them, kernels lie as they are applied, and what the head adds
to every face alike is added up beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from crossfer.method.head import EvidenceHead, area_shares
from crossfer.method.model import CrossLayerNet
from crossfer.method.msr import MSR, MSROutput, kept_in_kernel, mean_of_convolution


class CollapsedMSR(nn.Module):
    """MSR in evaluation; ``fused`` has one channel, the mean of those that :class:`MSR` gives.

    Args:
        msr: in evaluation mode.
        grid: G.
    """

    def __init__(self, msr: MSR, grid: int) -> None:
        super().__init__()
        layers = zip(msr.adapters, msr.embed, msr.norm, strict=True)
        self.embed = nn.ModuleList(
            _Embedding(adapt, cast(nn.Conv2d, embed), norm, 2**j)
            for j, (adapt, embed, norm) in enumerate(layers, start=1)
        )
        self.attention = _collapsed_attention(msr, grid) if msr.weighting == "adaptive" else None
        fusion = fuse_conv_bn_eval(cast(nn.Conv2d, msr.fuse[0]), cast(nn.BatchNorm2d, msr.fuse[1]))
        self.fuse = nn.Conv2d(fusion.in_channels, 1, 3, padding=1)
        self.fuse.weight = nn.Parameter(fusion.weight.detach().mean(dim=0, keepdim=True))
        self.fuse.bias = nn.Parameter(cast(Tensor, fusion.bias).detach().mean(dim=0, keepdim=True))

    def forward(self, features: Sequence[Tensor]) -> MSROutput:
        """Fuse f_1 ... f_4, each (B, C_j, H_j, W_j)."""
        embeddings = tuple(embed(f) for f, embed in zip(features, self.embed, strict=True))
        scales = torch.cat(embeddings, dim=1).unflatten(1, (len(embeddings), -1)).flatten(2)  # (B, 4, D G^2)
        if self.attention is None:
            weights = scales.new_ones(*scales.shape[:2], 1)  # (B, 4, 1)
        else:
            weights = torch.sigmoid(self.attention(scales))
        mixed = (weights.mT @ scales).reshape(embeddings[0].shape)
        return MSROutput(self.fuse(mixed), embeddings, weights.squeeze(-1))


class _Embedding(nn.Module):
    """z_j of f_j, as ``embed_shuffled`` makes it, with a pixel shuffle that exporters know by its name.

    The coarse part of the shuffle moves whole groups of channels; once these are brought side by side, which
    a 1x1 convolution before it does for nothing, it is a plain pixel shuffle.
    """

    order: Tensor | None

    def __init__(self, adapt: nn.Module, embed: nn.Conv2d, norm: nn.Module, r: int) -> None:
        super().__init__()
        b = kept_in_kernel(embed, r)
        self.adapt, self.factor = adapt, r // b
        channels = embed.in_channels * r**2
        # Where the channels of f are to lie so that those of one group are side by side.
        order = torch.arange(channels).unflatten(0, (channels // r**2, r // b, b, r // b, b))
        order = order.permute(0, 2, 4, 1, 3).flatten()
        if isinstance(adapt, nn.Conv2d):
            adapt.weight = nn.Parameter(adapt.weight.detach()[order])
            adapt.bias = nn.Parameter(cast(Tensor, adapt.bias).detach()[order])
        in_order = isinstance(adapt, nn.Conv2d) or self.factor == 1
        self.register_buffer("order", None if in_order else order)
        fused = fuse_conv_bn_eval(embed, norm) if isinstance(norm, nn.BatchNorm2d) else embed
        weight = F.pixel_unshuffle(fused.weight.detach(), b)
        kernel, stride, padding = weight.shape[-1], fused.stride[0] // b, int(fused.padding[0]) // b
        self.convolution = nn.Conv2d(weight.shape[1], weight.shape[0], kernel, stride, padding)
        self.convolution.weight = nn.Parameter(weight)
        self.convolution.bias = fused.bias

    def forward(self, f: Tensor) -> Tensor:
        """(B, C_j, H_j, W_j) -> (B, D, G, G)."""
        f = self.adapt(f)
        if self.order is not None:
            f = f.index_select(1, self.order)
        return self.convolution(F.pixel_shuffle(f, self.factor) if self.factor > 1 else f)


def _collapsed_attention(msr: MSR, grid: int) -> nn.Linear:
    """From z_j, flattened, to its attention logit: affine, so given by its gradient and its value at 0."""
    dim = msr.attention_conv.in_channels
    linear = nn.Linear(dim * grid**2, 1)
    with torch.enable_grad():
        z = torch.zeros(1, dim, grid, grid, dtype=msr.attention_conv.weight.dtype, requires_grad=True)
        logit = msr.attention_linear(mean_of_convolution(z, msr.attention_conv)).squeeze()
        (gradient,) = torch.autograd.grad(logit, z)
    linear.weight = nn.Parameter(gradient.flatten(1))
    linear.bias = nn.Parameter(logit.detach()[None])
    return linear


class CollapsedHead(nn.Module):
    """The evidence head in evaluation, for the one channel that :class:`CollapsedMSR` gives.

    All that is constant for a cell is one map, and the deep features go to the cells of the grid in two
    matrix products.

    Args:
        head: in evaluation mode, with ``batch_mean`` other than ``"batch"``.
    """

    constant: Tensor
    weight: Tensor | None
    pooled_weight: Tensor | None

    def __init__(self, head: EvidenceHead) -> None:
        super().__init__()
        self.grid = head.grid
        constant = (head.bias.detach() / head.grid**2)[:, None, None].expand(-1, head.grid, head.grid)
        if head.weight is not None and head.batch_mean == "running":
            constant = constant + head.weight.detach() * head.running_mean
        self.register_buffer("constant", constant.contiguous())
        self.register_buffer("weight", None if head.weight is None else head.weight.detach())
        pooled = head.pooled_weight
        self.register_buffer("pooled_weight", None if pooled is None else pooled.detach())

    def forward(self, x: Tensor | None, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Classify x (B, 1, G, G) and f_4 (B, C_4, H_4, W_4): logits (B, K), evidence (B, K, G, G)."""
        evidence = self.constant
        if self.weight is not None:
            evidence = evidence + self.weight * cast(Tensor, x)
        if self.pooled_weight is not None:
            sides = deep.shape[-2:]
            cells = (self.pooled_weight / sides.numel()) @ deep.flatten(2)
            shared = cells @ area_shares(sides, self.grid, deep)
            evidence = evidence + shared.unflatten(2, (self.grid, self.grid))
        return evidence.sum(dim=(2, 3)), evidence


def collapse(net: CrossLayerNet) -> CrossLayerNet:
    """A copy of a network that gives the same logits, evidence and features, to rounding, for inference.

    A head with ``batch_mean="batch"`` needs its batch, and stays as it is.

    Args:
        net: in evaluation mode, on the CPU.
    """
    copy = deepcopy(net)
    head = cast(EvidenceHead, copy.head)
    if isinstance(copy.msr, MSR):
        copy.msr = CollapsedMSR(copy.msr, head.grid).eval()
    if head.batch_mean != "batch":
        copy.head = CollapsedHead(head).eval()
    return copy

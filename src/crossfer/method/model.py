"""The network: encoder, MSR, evidence head. One builder knows how their sizes hang together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from crossfer.method.encoder import ResNet, Stem, feature_sides
from crossfer.method.head import BatchMean, Branch, EvidenceHead
from crossfer.method.msr import MSR, Weighting


class Output(NamedTuple):
    """What the network gives for a batch.

    Attributes:
        logits: (B, K).
        evidence: (B, K, G, G); sums to the logits over its cells.
        features: f_1 ... f_4, (B, C_j, H_j, W_j).
        embeddings: z_1 ... z_4, (B, D, G, G); empty without MSR.
        scale_weights: a_1 ... a_4, (B, 4); (B, 0) without MSR.
    """

    logits: Tensor
    evidence: Tensor
    features: tuple[Tensor, ...]
    embeddings: tuple[Tensor, ...]
    scale_weights: Tensor


def require_images(batch: Tensor) -> None:
    """Refuse an empty batch, (0, ...).

    Raises:
        ValueError: if it is one.
    """
    if batch.shape[0] == 0:
        raise ValueError(f"expected at least one image, got shape {tuple(batch.shape)}")


class CrossLayerNet(nn.Module):
    """Encoder, multi-scale representation (None for a plain ResNet) and evidence head, put together.

    Example:
        >>> import torch
        >>> net = build_model(
        ...     num_classes=8, image_size=48, in_channels=1, width=8, stem="small", dim=16, grid=6
        ... ).eval()
        >>> output = net(torch.zeros(2, 1, 48, 48))
        >>> output.logits.shape, output.evidence.shape
        (torch.Size([2, 8]), torch.Size([2, 8, 6, 6]))
    """

    def __init__(self, *, encoder: ResNet, msr: MSR | None, head: EvidenceHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.msr: nn.Module | None = msr
        self.head: nn.Module = head

    def forward(self, images: Tensor) -> Output:
        """Recognise (B, C, S, S) normalised images; nothing is clustered here, that is the losses' work.

        Raises:
            ValueError: if it is in training and there is no image, whose mean would spoil all running means.
        """
        if self.training:
            require_images(images)
        features = self.encoder(images)
        if self.msr is None:
            logits, evidence = self.head(None, features[-1])
            return Output(logits, evidence, features, (), logits.new_empty(logits.shape[0], 0))
        msr = self.msr(features)
        logits, evidence = self.head(msr.fused, features[-1])
        return Output(logits, evidence, features, msr.embeddings, msr.weights)


def build_model(
    *,
    num_classes: int,
    image_size: int = 224,
    in_channels: int = 3,
    depth: int = 18,
    width: int = 64,
    channels: Sequence[int] | None = None,
    stem: Stem = "standard",
    dim: int = 128,
    grid: int = 11,
    weighting: Weighting = "adaptive",
    embed_norm: bool = True,
    batch_mean: BatchMean = "running",
    branch: Branch = "msr+gap",
) -> CrossLayerNet:
    """Build the network; see :class:`ResNet`, :class:`MSR` and :class:`EvidenceHead` for the arguments.

    Raises:
        ValueError: if the sizes do not fit together; the message names the one that does not.
    """
    encoder = ResNet(depth=depth, width=width, channels=channels, in_channels=in_channels, stem=stem)
    side = 2 * feature_sides(image_size, stem)[0]
    # Made for "gap" too, which drops it: the head's first weights hang on how much was drawn before them.
    msr = MSR(
        channels=encoder.channels,
        side=side,
        dim=dim,
        grid=grid,
        weighting=weighting,
        embed_norm=embed_norm,
    )
    return CrossLayerNet(
        encoder=encoder,
        msr=None if branch == "gap" else msr,
        head=EvidenceHead(
            deep_channels=encoder.channels[-1],
            grid=grid,
            num_classes=num_classes,
            batch_mean=batch_mean,
            branch=branch,
        ),
    )

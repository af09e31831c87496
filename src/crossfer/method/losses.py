"""The total: L = L_cls + sum over shallow stages of lambda_j (L_fm_j + L_bs_j)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method.clbs import EmbeddingProjection, Projection, StageProjection, clbs_loss
from crossfer.method.clfm import clfm_loss
from crossfer.method.coding import Coding
from crossfer.method.contrast import Contrast
from crossfer.method.model import Output


class LossTerms(NamedTuple):
    """The loss and its parts, each a scalar.

    Attributes:
        total: L.
        classification: L_cls.
        feature_map: sum of lambda_j L_fm_j.
        batch: sum of lambda_j L_bs_j.
    """

    total: Tensor
    classification: Tensor
    feature_map: Tensor
    batch: Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy against a distribution: (B, K), (B, K) -> scalar mean over the batch."""
    return F.cross_entropy(logits, targets)


class CrossLayerLoss(nn.Module):
    """The paper's loss, in its corrected form by default.

    Holds CLBS's projection, which is trained with the model.

    Args:
        num_classes: K.
        channels: C_1 ... C_4 of the encoder.
        embedding_dim: D of MSR.
        lambdas: weights of the shallow stages 1, 2, 3; a stage with weight 0 costs nothing.
        k_feature_map: K_fm, clusters an image.
        k_batch: K_bs, clusters a batch; None for the number of classes.
        feature_map: whether CLFM is part of the loss.
        batch: whether CLBS is part of the loss.
        coding: see :func:`crossfer.method.coding.encode`.
        contrast: see :func:`crossfer.method.contrast.align`.
        temperature: of the InfoNCE softmax.
        stop_gradient: whether the deep stage teaches without being taught.
        projection: CLBS's vectors come from MSR's embeddings (``"embedding"``, as released) or from the
            feature maps (``"stage"``, as in the figure).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: Sequence[int],
        embedding_dim: int,
        lambdas: Sequence[float] = (0.1, 0.1, 0.1),
        k_feature_map: int = 4,
        k_batch: int | None = None,
        feature_map: bool = True,
        batch: bool = True,
        coding: Coding = "pooled",
        contrast: Contrast = "infonce",
        temperature: float = 0.1,
        stop_gradient: bool = True,
        projection: Projection = "embedding",
    ) -> None:
        super().__init__()
        if len(lambdas) != 3 or not all(weight >= 0 for weight in lambdas):
            raise ValueError(f"lambdas must be three weights >= 0, one a shallow stage, got {tuple(lambdas)}")
        if projection not in ("embedding", "stage"):
            raise ValueError(f"projection must be 'embedding' or 'stage', got {projection!r}")
        self.lambdas = {j: weight for j, weight in enumerate(lambdas, start=1) if weight > 0}
        self.k_feature_map = k_feature_map
        self.k_batch = k_batch or num_classes
        self.coding: Coding = coding
        self.contrast: Contrast = contrast
        self.temperature = temperature
        self.stop_gradient = stop_gradient
        self.projection: Projection = projection
        self.feature_map = feature_map and bool(self.lambdas)
        self.project: nn.Module | None = None
        if batch and self.lambdas:
            self.project = (
                EmbeddingProjection(embedding_dim) if projection == "embedding" else StageProjection(channels)
            )

    def forward(self, output: Output, targets: Tensor, generator: torch.Generator | None = None) -> LossTerms:
        """Loss of a batch.

        Args:
            output: what the model gave for the batch.
            targets: (B, K) distributions over the classes.
            generator: source of the k-means starts, on the device of the batch.
        """
        classification = soft_cross_entropy(output.logits, targets)
        zero = classification.new_zeros(())
        # The contrast runs in single precision: its vectors are short and its distances small.
        with torch.autocast(output.logits.device.type, enabled=False):
            feature_map = self._clfm(output, generator) if self.feature_map else zero
            batch = self._clbs(output, generator) if self.project is not None else zero
        return LossTerms(classification + feature_map + batch, classification, feature_map, batch)

    def _clfm(self, output: Output, generator: torch.Generator | None) -> Tensor:
        return self._weigh(
            clfm_loss(
                output.features,
                list(self.lambdas),
                k=self.k_feature_map,
                coding=self.coding,
                contrast=self.contrast,
                temperature=self.temperature,
                stop_gradient=self.stop_gradient,
                generator=generator,
            )
        )

    def _clbs(self, output: Output, generator: torch.Generator | None) -> Tensor:
        assert self.project is not None  # noqa: S101
        source = output.embeddings if self.projection == "embedding" else output.features
        dtype = next(self.project.parameters()).dtype
        return self._weigh(
            clbs_loss(
                self.project([s.to(dtype) for s in source]),
                list(self.lambdas),
                k=self.k_batch,
                contrast=self.contrast,
                temperature=self.temperature,
                stop_gradient=self.stop_gradient,
                generator=generator,
            )
        )

    def _weigh(self, losses: list[Tensor]) -> Tensor:
        weights = losses[0].new_tensor(list(self.lambdas.values()))
        return (weights * torch.stack(losses)).sum()

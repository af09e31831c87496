"""The total: L = L_cls + sum over shallow stages of lambda_j (L_fm_j + L_bs_j)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method import released
from crossfer.method.choice import one_of
from crossfer.method.clbs import EmbeddingProjection, Projection, StageProjection, clbs_loss
from crossfer.method.clfm import clfm_loss
from crossfer.method.coding import Coding
from crossfer.method.contrast import Comparison, Contrast
from crossfer.method.controls import Target
from crossfer.method.model import Output, require_images

Variant = Literal["corrected", "released"]
# What the released code does; the variant of that name stands for nothing else.
RELEASED = {
    "coding": "hash",
    "contrast": "cosine",
    "temperature": 0.1,  # of what it does not compute; another would be given in vain
    "projection": "embedding",
    "stop_gradient": True,
    "target": "clusters",
}


class FeatureError(ValueError):
    """Features that no loss can be made of; the message says where and what was found."""


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

    Holds CLBS's projection, which is trained with the model. Under ``torch.distributed`` each rank gives its
    share of a batch, all of one size, and the mean of the ranks' gradients is that of the whole batch, if
    k-means starts alike.

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
        contrast, temperature, stop_gradient, target: see :class:`crossfer.method.contrast.Comparison`.
        projection: CLBS's vectors come from MSR's embeddings (``"embedding"``, as released) or from the
            feature maps (``"stage"``, as in the figure).
        variant: ``"released"`` computes what the released code does, see :mod:`crossfer.method.released`; it
            needs ``coding="hash"`` and ``contrast="cosine"``, and ``temperature``, ``stop_gradient``,
            ``projection`` and ``target`` as they are by default; all other options are free.
        objective: L_cls of logits and targets; what it learns itself is part of this module.

    Raises:
        ValueError: on options out of range or that contradict each other.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: Sequence[int],
        embedding_dim: int,
        lambdas: Sequence[float] = (0.0, 0.1, 0.0),
        k_feature_map: int = 4,
        k_batch: int | None = None,
        feature_map: bool = True,
        batch: bool = True,
        coding: Coding = "pooled",
        contrast: Contrast = Comparison.contrast,
        temperature: float = Comparison.temperature,
        stop_gradient: bool = Comparison.stop_gradient,
        projection: Projection = "embedding",
        target: Target = Comparison.target,
        variant: Variant = "corrected",
        objective: Callable[[Tensor, Tensor], Tensor] = soft_cross_entropy,
    ) -> None:
        super().__init__()
        self.how = Comparison(contrast, temperature, stop_gradient, target)
        _check_variant(variant, {"coding": coding, "projection": projection, **asdict(self.how)})
        for name, clusters in (("k_feature_map", k_feature_map), ("k_batch", k_batch)):
            if clusters is not None and clusters < 1:
                raise ValueError(f"{name} must be at least 1, got {clusters}")
        if len(lambdas) != 3 or not all(weight >= 0 for weight in lambdas):
            raise ValueError(f"lambdas must be three weights >= 0, one a shallow stage, got {tuple(lambdas)}")
        one_of("projection", projection, Projection)
        self.objective = objective
        self.lambdas = {j: weight for j, weight in enumerate(lambdas, start=1) if weight > 0}
        self.k_feature_map = k_feature_map
        self.k_batch = k_batch or num_classes
        self.coding: Coding = coding
        self.projection: Projection = projection
        self.variant: Variant = variant
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
            targets: (B, K) distributions over the classes, or what else the objective asks for.
            generator: source of the k-means starts, on the device of the batch.

        Raises:
            ValueError: if there is no image.
            FeatureError: if a feature map or embedding holds NaN or infinite values.
        """
        require_images(output.logits)
        if self.lambdas and not torch.compiler.is_compiling():  # the check would break a compiled graph
            _refuse_unfinite(output)
        classification = self.objective(output.logits, targets)
        zero = classification.new_zeros(())
        # The contrast runs in single precision: its vectors are short and its distances small.
        with torch.autocast(output.logits.device.type, enabled=False):
            feature_map = self._clfm(output, generator) if self.feature_map else zero
            batch = self._clbs(output, generator) if self.project is not None else zero
        return LossTerms(classification + feature_map + batch, classification, feature_map, batch)

    def _clfm(self, output: Output, generator: torch.Generator | None) -> Tensor:
        stages, k = list(self.lambdas), self.k_feature_map
        if self.variant == "released":
            return self._weigh(released.clfm_loss(output.features, stages, k=k, generator=generator))
        return self._weigh(
            clfm_loss(output.features, stages, k=k, coding=self.coding, how=self.how, generator=generator)
        )

    def _clbs(self, output: Output, generator: torch.Generator | None) -> Tensor:
        assert self.project is not None  # noqa: S101
        source = output.embeddings if self.projection == "embedding" else output.features
        vectors = self.project(source, [*self.lambdas, len(source)])
        stages, k = list(range(1, len(vectors))), self.k_batch  # those that are taught, and the deep one
        if self.variant == "released":
            return self._weigh(released.clbs_loss(vectors, stages, k=k, generator=generator))
        return self._weigh(clbs_loss(vectors, stages, k=k, how=self.how, generator=generator))

    def _weigh(self, losses: list[Tensor]) -> Tensor:
        weights = losses[0].new_tensor(list(self.lambdas.values()))
        return (weights * torch.stack(losses)).sum()


def _check_variant(variant: str, chosen: dict[str, object]) -> None:
    one_of("variant", variant, Variant)
    for name, value in RELEASED.items():
        if variant == "released" and chosen[name] != value:
            raise ValueError(f"variant 'released' means {name} = {value!r}, got {chosen[name]!r}")


def _refuse_unfinite(output: Output) -> None:
    maps = {f"features of stage {j}": f for j, f in enumerate(output.features, start=1)}
    maps |= {f"embeddings of stage {j}": z for j, z in enumerate(output.embeddings, start=1)}
    # One question to the device, not one a map; a sum is finite only if all its parts are, and is quicker.
    if torch.isfinite(torch.stack([v.detach().sum(dtype=torch.float32) for v in maps.values()])).all():
        return
    for name, values in maps.items():
        bad = int((~torch.isfinite(values)).sum())
        if bad:
            raise FeatureError(
                f"{name}: expected finite numbers, found {bad:,} of {values.numel():,} NaN or infinite"
            )

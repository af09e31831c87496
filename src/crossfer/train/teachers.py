"""Distillation: trained networks whose answers become part of a student's targets.

Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, with the teachers looking at the very
images that the student learns from, changed at random alike (Beyer et al., "Knowledge distillation: A good
teacher is patient and consistent", CVPR 2022), or asked once about each face as it is, that paper's fixed
teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.labels import LabelSet
from crossfer.method import CrossLayerNet
from crossfer.runtime.preprocess import LUMA, InputContract, standardize
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import DistillConfig
from crossfer.train.network import input_contract
from crossfer.train.trained import find_weights, load_network


@dataclass(frozen=True)
class Teacher:
    """A trained network that is asked, never taught.

    Attributes:
        name: of its recipe.
        sha256: of its file, hexadecimal.
        contract: what it is to be fed.
        net: itself, in evaluation mode.
    """

    name: str
    sha256: str
    contract: InputContract
    net: CrossLayerNet


class Teachers(nn.Module):
    """The mean of what teachers say.

    Args:
        teachers: at least one, of the student's classes.
        config: the teachers' share of a target, their temperature, and whether they see mirror images too.
    """

    def __init__(self, teachers: Sequence[Teacher], config: DistillConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleList(teacher.net for teacher in teachers)
        self.contracts = [teacher.contract for teacher in teachers]
        self.config = config

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of the classes.

        Args:
            images: (B, C, S, S) in 0..1, as the student sees them before normalisation.

        Returns:
            (B, K) float32: over the teachers, the mean of the softmax of their logits over the temperature.
        """
        answers = []
        for net, contract in zip(self.nets, self.contracts, strict=True):
            faces = as_input(images, contract).to(memory_format=torch.channels_last)
            logits = net(faces).logits
            if self.config.mirror:
                logits = (logits + net(faces.flip(3)).logits) / 2
            answers.append(F.softmax(logits.float() / self.config.temperature, dim=1))
        return torch.stack(answers).mean(dim=0)

    def blend(self, images: Tensor, targets: Tensor) -> Tensor:
        """Targets (B, K) with the teachers' share in them, for images as in :meth:`forward`."""
        return torch.lerp(targets, self(images).to(targets.dtype), self.config.share)

    def train(self, mode: bool = True) -> Teachers:
        """Stay in evaluation mode, whatever is asked."""
        return cast(Teachers, super().train(False))


def as_input(images: Tensor, contract: InputContract) -> Tensor:
    """Images (B, C, S, S) in 0..1 in another network's colour and size, normalised for it.

    Grey from colour is ITU-R 601 luma, colour from grey the same value thrice; sizes by antialiased bilinear
    interpolation, as in :func:`crossfer.runtime.preprocess.preprocess` but for rounding to whole grey levels.
    """
    channels, size, _ = contract.shape
    if images.shape[1] > channels:
        weights = torch.from_numpy(LUMA / 65536).to(images)[:, None, None]
        images = (images * weights).sum(dim=1, keepdim=True)
    elif images.shape[1] < channels:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[-1] != size:
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    return standardize(images, contract)


def load_teachers(config: DistillConfig, labels: LabelSet) -> list[Teacher]:
    """The teachers that ``distill.teachers`` names.

    Args:
        config: names embedded models, safetensors files of whole networks, or folders of runs.
        labels: the student's classes.

    Raises:
        CheckpointError: if one cannot be read, or knows other classes.
    """
    return [_load(teacher, labels) for teacher in config.teachers]


def _load(where: Path, labels: LabelSet) -> Teacher:
    try:
        path = find_weights(where)
        trained = load_network(path)
        recipe, theirs = trained.recipe, trained.labels
        if theirs.expressions != labels.expressions:
            raise CheckpointError(
                f"{path} knows {', '.join(theirs.expressions)} ({theirs.name}), the student is to learn "
                f"{', '.join(labels.expressions)} ({labels.name}); name a teacher of the same classes in the "
                "same order"
            )
        if recipe.model.batch_mean == "batch":
            raise CheckpointError(
                f"{path} has model.batch_mean = 'batch' (variant 'released'), so its answers depend on the "
                "batch; name a teacher of variant 'corrected'"
            )
    except CheckpointError as error:
        raise CheckpointError(f"distill.teachers = {str(where)!r}: {error}") from None
    net = trained.net.requires_grad_(False)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Teacher(recipe.name, checkpoint.sha256(path), input_contract(recipe.model), net)

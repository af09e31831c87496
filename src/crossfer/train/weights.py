"""A run's weights as a small file that others can start from: ``crossfer export RUN -o FILE.safetensors``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import ModelConfig, placeless
from crossfer.train.network import input_contract, network
from crossfer.train.start import recipe_of

MOST_CHANGE = 0.05  # of a logit


@dataclass(frozen=True)
class WeightsFile:
    """What was written.

    Attributes:
        path: the file.
        size: bytes.
        sha256: its checksum, hexadecimal.
        change: the largest change of a logit by half precision, over random images.
    """

    path: Path
    size: int
    sha256: str
    change: float


def export_weights(run: Path, output: Path) -> WeightsFile:
    """Write a run's chosen weights at half their size: matrices and kernels in float16, all else as it is.

    Recipe (without where the data lies), labels, epoch and commit stand in the file's metadata, beside the
    SHA-256 of the file that it was made from.

    Args:
        run: the run's folder, or one of its ``best.safetensors``.
        output: the ``.safetensors`` file to write.

    Raises:
        CheckpointError: if the weights cannot be read, have no recipe, or half precision changes a logit by
            more than 0.05.
    """
    path = best_of(run)
    tensors, meta = checkpoint.load(path)
    recipe, labels = recipe_of(meta, path)
    half = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    change = _change(recipe.model, len(labels), tensors, half)
    if not change <= MOST_CHANGE:
        raise CheckpointError(
            f"{path}: half precision changes a logit by {change:.2g}, expected at most {MOST_CHANGE:g}, so "
            "no file was written; start other runs from this file itself"
        )
    kept = {key: meta[key] for key in ("epoch", "valid_accuracy", "commit", "teachers") if key in meta}
    origin = {
        "recipe": placeless(recipe),
        "label_set": labels.name,
        "labels": list(labels.expressions),
        "made_from_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(output, half, origin | kept)
    content = output.read_bytes()
    return WeightsFile(output, len(content), hashlib.sha256(content).hexdigest(), change)


def best_of(run: Path) -> Path:
    """The chosen weights of a run that is given by its folder or by that file."""
    return run / "best.safetensors" if run.is_dir() else run


@torch.no_grad()
def _change(config: ModelConfig, classes: int, one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between the logits of two sets of weights, over 16 random images."""
    net = network(config, classes).eval()
    shape = input_contract(config).shape
    images = torch.randn(16, *shape, generator=torch.Generator().manual_seed(0))
    logits = []
    for tensors in (one, other):
        net.load_state_dict(tensors)
        logits.append(net(images).logits)
    return float((logits[0] - logits[1]).abs().max())

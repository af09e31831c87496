"""A run's weights as a small file that others can start from: ``crossfer export RUN -o FILE.safetensors``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crossfer.method import CrossLayerNet
from crossfer.system.writable import need_folder
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.network import input_contract
from crossfer.train.recipe_file import placeless
from crossfer.train.run_folder import BEST, LAST
from crossfer.train.trained import find_weights, load_network

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
        run: the run's folder, its ``best.safetensors``, or an embedded model's name.
        output: the ``.safetensors`` file to write.

    Raises:
        CheckpointError: if the weights cannot be read, have no recipe, or half precision changes a logit by
            more than 0.05; if the output is a folder, or one of a run's own files.
        ValueError: if the output cannot be written.
    """
    path = find_weights(run)
    require_place(output, path)
    trained = load_network(path, classifies=False)
    recipe, labels, meta = trained.recipe, trained.labels, trained.meta
    half = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in trained.tensors.items()}
    change = _change(trained.net, input_contract(recipe.model).shape, half)
    if not change <= MOST_CHANGE:
        raise CheckpointError(
            f"{path}: half precision changes a logit by {change:.2g}, expected at most {MOST_CHANGE:g}, so "
            "no file was written; start other runs from this file itself"
        )
    kept = {
        key: meta[key] for key in ("epoch", "valid_accuracy", "commit", "teachers", "faces") if key in meta
    }
    origin = {
        "recipe": placeless(recipe),
        "label_set": labels.name,
        "labels": list(labels.expressions),
        "made_from_sha256": checkpoint.sha256(path),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(output, half, origin | kept)
    return WeightsFile(output, output.stat().st_size, checkpoint.sha256(output), change)


def require_place(output: Path, weights: Path) -> None:
    """Refuse, before any work, a file that cannot be written, or in whose place lies one that a run needs.

    Args:
        output: the file to write; nothing of it is left.
        weights: what it is to be made from.

    Raises:
        CheckpointError: if it is a folder, or such a file.
        ValueError: if nothing can be written in its folder.
    """
    if output.is_dir():
        raise CheckpointError(f"{output}: expected a file to write, found a folder; name a file in it")
    beside = output.resolve().parent / LAST
    of_a_run = output.resolve().name in {BEST, LAST} and beside.exists()
    if output.exists() and (of_a_run or output.samefile(weights)):
        raise CheckpointError(f"{output}: is the file of a run, which would be lost; name another to write")
    need_folder("--output", output.parent)


@torch.no_grad()
def _change(net: CrossLayerNet, shape: tuple[int, int, int], tensors: dict[str, Tensor]) -> float:
    """The largest difference to a network's logits with other weights, over 16 random images."""
    images = torch.randn(16, *shape, generator=torch.Generator().manual_seed(0))
    before = net(images).logits
    net.load_state_dict(tensors)
    return float((before - net(images).logits).abs().max())

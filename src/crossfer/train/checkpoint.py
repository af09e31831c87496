"""Checkpoints in safetensors: written whole or not at all, never unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says what was expected and what was found."""


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON metadata; the file appears under its name only once it is complete and on disk."""
    partial = path.with_name(f".{path.name}.partial")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
        partial,
        {"crossfer": json.dumps(meta)},
    )
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        CheckpointError: if the file is missing, truncated or not a checkpoint.
    """
    if path.suffix in {".pth", ".pt", ".ckpt", ".bin"}:
        raise CheckpointError(
            f"{path}: pickled weights are not loaded, since a pickle can run code; convert them once, where you trust them: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
        )
    try:
        with safe_open(path, framework="pt") as file:
            meta = (file.metadata() or {}).get("crossfer", "{}")
            return {k: file.get_tensor(k) for k in file.keys()}, json.loads(meta)  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from None


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put ``prefix.`` before every name, so that several state dicts fit in one file."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins with ``prefix.``, without it."""
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def momentum_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """SGD's momentum buffers, by the position of their parameter."""
    state = optimizer.state_dict()["state"]
    return {str(i): s["momentum_buffer"] for i, s in state.items() if s.get("momentum_buffer") is not None}


def restore_momentum(optimizer: torch.optim.Optimizer, buffers: dict[str, Tensor]) -> None:
    """Put back what :func:`momentum_of` gave."""
    state = optimizer.state_dict()
    state["state"] = {int(i): {"momentum_buffer": buffer} for i, buffer in buffers.items()}
    optimizer.load_state_dict(state)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Start an encoder from published weights with torchvision's names; a classifier's ``fc`` is ignored.

    Raises:
        CheckpointError: if names or shapes differ; the message lists the first that do.
    """
    tensors, _ = load(path)
    theirs = {k: v for k, v in tensors.items() if not k.startswith("fc.")}
    ours = encoder.state_dict()
    wrong = sorted(
        k
        for k in ours.keys() | theirs.keys()
        if k not in ours or k not in theirs or ours[k].shape != theirs[k].shape
    )
    if wrong:
        found = {k: tuple(theirs[k].shape) if k in theirs else "missing" for k in wrong[:3]}
        expected = {k: tuple(ours[k].shape) if k in ours else "absent" for k in wrong[:3]}
        raise CheckpointError(
            f"{path}: {len(wrong)} tensors do not fit the encoder: expected {expected}, found {found}"
        )
    encoder.load_state_dict(theirs)

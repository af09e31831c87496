"""Checkpoints in safetensors: written whole or not at all, never unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

from crossfer.system.atomic import write_atomically


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, written or fitted; the message says what was expected and found."""


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON metadata; the file appears under its name only once it is whole and on disk.

    Raises:
        CheckpointError: if it cannot be written; what lay there before is untouched.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        # Not by save_file, which writes to a file of another name first that a kill would leave behind.
        write_atomically(path, serialized(whole, {"crossfer": json.dumps(meta)}), alone=True)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path}: could not be written: {reason}") from None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote: tensors and metadata.

    Raises:
        CheckpointError: if the file is missing, truncated, pickled or not a checkpoint.
    """
    with _opened(path) as file:
        return {k: file.get_tensor(k) for k in file.keys()}, _meta(file, path)  # noqa: SIM118


def load_meta(path: Path) -> dict[str, Any]:
    """The metadata alone; errors as of :func:`load`."""
    with _opened(path) as file:
        return _meta(file, path)


def sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if _is_pickled(path):
        raise CheckpointError(
            f"{path}: pickled weights are not loaded, since a pickle can run code; convert them once, where "
            "you trust them: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
        )
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (OSError, SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from None


def _meta(file: Any, path: Path) -> dict[str, Any]:
    meta = json.loads((file.metadata() or {}).get("crossfer", "{}"))
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: expected metadata by key, found {type(meta).__name__}")
    return meta


def _is_pickled(path: Path) -> bool:
    """By its name, or by how it begins: as a zip or a pickle, and not as safetensors' length and brace."""
    if path.suffix.lower() in {".pth", ".pt", ".ckpt", ".bin"}:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return head.startswith((b"PK\x03\x04", b"\x80")) and head[8:] != b"{"


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put ``prefix.`` before every name, so that several state dicts fit in one file."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins with ``prefix.``, without it."""
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def fill(module: nn.Module, tensors: dict[str, Tensor], misfit: str, reason: str = "") -> None:
    """Load tensors into a module.

    Raises:
        CheckpointError: unless names and shapes are all right; ``misfit`` and ``reason`` stand around what
            was expected and found.
    """
    ours = module.state_dict()
    wrong = sorted(
        k
        for k in ours.keys() | tensors.keys()
        if k not in ours or k not in tensors or ours[k].shape != tensors[k].shape
    )
    if wrong:
        found = {k: tuple(tensors[k].shape) if k in tensors else "missing" for k in wrong[:3]}
        expected = {k: tuple(ours[k].shape) if k in ours else "absent" for k in wrong[:3]}
        raise CheckpointError(f"{misfit} in {len(wrong)} tensors: expected {expected}, found {found}{reason}")
    module.load_state_dict(tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers, such as momentum, each under ``NUMBER.NAME`` of parameter and value."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": value
        for i, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave, in the memory layout of the parameters.

    In another layout the same sums may round otherwise, and a resumed run would drift from a whole one. All
    are copies: tensors as loaded keep their file mapped, which Windows then does not replace.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = optimizer.state_dict()
    state["state"] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        like = parameters[int(number)]
        value = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor.clone()
        state["state"].setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(state)

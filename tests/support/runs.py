"""Runs compared by all that they leave."""

from __future__ import annotations

from pathlib import Path

import torch

from crossfer.train import checkpoint


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    parts = (
        checkpoint.with_prefix(name, checkpoint.load(folder / f"{name}.safetensors")[0])
        for name in ("last", "best")
    )
    return {k: v for part in parts for k, v in part.items()}


def assert_same_run(one: Path, other: Path) -> None:
    ours, theirs = tensors_of(one), tensors_of(other)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == []

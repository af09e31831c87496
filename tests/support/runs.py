"""Runs of toys, and runs compared by all that they leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.device import HalfPrecision
from crossfer.train.loop import train
from crossfer.train.record import RunResult
from support.toy_faces import LABELS, toy_faces


def toy_run(recipe: Recipe, folder: Path, **options: Any) -> RunResult:
    return train(recipe, LABELS, toy_faces(48), toy_faces(24, seed=1), folder, **options)


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


def scaled_from(begin: float) -> Callable[[Any, str], HalfPrecision]:
    """In place of ``HalfPrecision``: one whose gradients in float16 are scaled so much at first."""

    def made(precision: Any, device: str) -> HalfPrecision:
        return HalfPrecision(precision, device, torch.amp.GradScaler(device, init_scale=begin))

    return made

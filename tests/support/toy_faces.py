"""A toy task that a tiny net learns in a second: the brighter third of a noisy image is its class."""

from __future__ import annotations

from typing import Any

import torch

from crossfer.labels import LabelSet
from crossfer.train.config import Recipe
from crossfer.train.loader import FaceTensors
from crossfer.train.recipe_file import parse_recipe

LABELS = LabelSet("toy", ("neutral", "happiness", "surprise"))
SIDE = 32


def toy_faces(count: int, seed: int = 0) -> FaceTensors:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(LABELS)
    images = torch.randint(0, 120, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, label * 10 : label * 10 + 10] += 100
    return FaceTensors(images, torch.eye(len(LABELS))[labels], labels)


def toy_recipe(**tables: Any) -> Recipe:
    """A recipe for the toy task; values, those of tables one by one, replace the ones given here."""
    document: dict[str, Any] = {
        "data": {"name": "synthetic"},
        "model": {"image_size": SIDE, "width": 4, "dim": 8, "grid": 4},
        "method": {"k_feature_map": 2},
        "augment": {"rotation": 3.0, "flip": 0.5, "mixup": 0.2},
        "optim": {
            "epochs": 3,
            "batch_size": 16,
            "lr": 0.05,
            "warmup_epochs": 0.5,
            "ema_decay": 0.5,
            "device": "cpu",
            "precision": "32-true",
        },
    }
    for table, values in tables.items():
        document[table] = document.get(table, {}) | values if isinstance(values, dict) else values
    return parse_recipe({"name": "toy", **document}, "toy")

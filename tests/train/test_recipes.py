"""What the shipped recipes promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.train.config import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"

# Robust standard deviations of the frame around the crop: benchmarks/crop_contract.py, n = 1500, seed 0.
SPREAD = {"scale": 0.099, "shift": 0.038, "rotation": 5.6}


@pytest.mark.parametrize("name", SPREAD)
def test_augmentation_covers_the_spread_of_the_crop(name: str) -> None:
    augment = load_recipe(RECIPES / "ferplus-48.toml").augment
    uniform_std = getattr(augment, name) / 3**0.5
    assert SPREAD[name] <= uniform_std <= 2 * SPREAD[name]
    assert augment.low_resolution > 0
    assert augment.brightness > 0

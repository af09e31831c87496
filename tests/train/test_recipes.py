"""What the shipped recipes promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.train.config import Recipe
from crossfer.train.recipe_file import load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))

# Robust standard deviations of the frame around the crop: benchmarks/crop_contract.py, n = 1500, seed 0.
SPREAD = {"scale": 0.099, "shift": 0.038, "rotation": 5.6}


def test_there_are_recipes() -> None:
    assert {"ferplus-48.toml", "smoke.toml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_loads_and_is_named_after_its_file(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_says_how_to_run_it(path: Path) -> None:
    header = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    study = path.parent.name == "ablation" or path.parent.name.startswith("gain")
    folder = path.relative_to(ROOT).parent.as_posix()
    command = f"ablate {folder}/*.toml" if study else f"train {path.relative_to(ROOT).as_posix()}"
    assert any(f"crossfer {command}" in line for line in header)
    row = path.parent.name == "ablation" and "extends" in path.read_text("utf-8")
    assert row or all(part in "".join(header) for part in ("Hardware and time:", "Score to expect:"))


def test_the_rows_of_the_ablation_differ_in_one_table_each() -> None:
    rows = {path.stem: load_recipe(path) for path in RECIPES if path.parent.name == "ablation"}
    whole = rows.pop("all").model_dump(exclude={"name"})
    for name, recipe in rows.items():
        ours = recipe.model_dump(exclude={"name"})
        different = [table for table in whole if ours[table] != whole[table]]
        both = name in {"baseline", "msr-dim-16"}  # those without a cross-layer term that change the net too
        assert different == (["model", "method"] if both else different[:1]), name
        assert different, name


@pytest.mark.parametrize("name", SPREAD)
def test_augmentation_covers_the_spread_of_the_crop(name: str) -> None:
    augment = load_recipe(ROOT / "recipes" / "ferplus-48.toml").augment
    uniform_std = getattr(augment, name) / 3**0.5
    assert SPREAD[name] <= uniform_std <= 2 * SPREAD[name]
    assert augment.low_resolution > 0
    assert augment.brightness > 0

"""Recipes as files, extended and overridden, and compared with what was written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.train.config import RecipeError
from crossfer.train.recipe_file import first_difference, load_recipe, parse_recipe


def write(folder: Path, text: str) -> Path:
    path = folder / "test.toml"
    path.write_text(text, "utf-8")
    return path


def test_missing_malformed_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent.toml: no such recipe"):
        load_recipe(tmp_path / "absent.toml")
    with pytest.raises(RecipeError, match=r"test.toml: not a readable TOML recipe: .*line 2"):
        load_recipe(write(tmp_path, 'name = "x"\n[data\n'))
    with pytest.raises(RecipeError, match="not a readable TOML recipe"):
        load_recipe(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"binary.toml: not a readable TOML recipe"):
        load_recipe(tmp_path / "binary.toml")
    with pytest.raises(RecipeError, match="not a readable TOML recipe"):
        load_recipe(write(tmp_path, "a = " + 3000 * "["))


def test_a_recipe_that_extends_another_holds_what_differs(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('name = "base"\nseed = 3\n[model]\nwidth = 8\ngrid = 4\n')
    (tmp_path / "middle.toml").write_text('extends = "base.toml"\n[model]\ngrid = 5\n[optim]\nepochs = 2\n')
    (tmp_path / "top.toml").write_text('extends = "middle.toml"\nname = "top"\n[model]\ndim = 16\n')
    recipe = load_recipe(tmp_path / "top.toml", ["optim.lr=0.5"])
    assert (recipe.name, recipe.seed, recipe.optim.epochs, recipe.optim.lr) == ("top", 3, 2, 0.5)
    assert (recipe.model.width, recipe.model.grid, recipe.model.dim) == (8, 5, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "b.toml"', r"b\.toml: no such recipe"),
        ('extends = "a.toml"', r"a\.toml: extends itself, by way of .*a\.toml"),
        ("extends = 3", r"a\.toml: extends = 3: expected the name of a recipe beside this one"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "a.toml")


def test_a_loop_is_found_however_its_files_are_spelt(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f'extends = "../{tmp_path.name}/b.toml"')
    (tmp_path / "b.toml").symlink_to("a.toml")
    with pytest.raises(RecipeError, match=r"b\.toml: extends itself, by way of .*a\.toml$"):
        load_recipe(tmp_path / "a.toml")


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "x"\n[optim]\nlr = 0.5\n')
    given = ["optim.epochs=5", "model.color=rgb", 'data.root="a b"', "method.lambdas=[0, 0.5, 0]", "seed = 7"]
    recipe = load_recipe(path, given)
    assert (recipe.optim.epochs, recipe.optim.lr, recipe.seed) == (5, 0.5, 7)
    assert (recipe.model.color, recipe.data.root, recipe.method.lambdas) == (
        "rgb",
        Path("a b"),
        (0.0, 0.5, 0.0),
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.epochs", "--set 'optim.epochs': expected table.key=value"),
        ("=5", "--set '=5': expected table.key=value"),
        ("name.x=5", "--set 'name.x=5': 'name' is not a table of the recipe"),
        ("optim.epoch=5", "unknown key 'optim.epoch'"),
        ("optim.lr=-1", "optim.lr = -1: .*greater than 0"),
        ("optim.lr=", "optim.lr = '': .*valid number"),
        ("optim.lr=.1", "optim.lr = '.1': .*valid number.*; as in TOML, numbers are written like 0.1"),
        ("optim=3", "optim = 3: expected a table, whose keys are set one by one"),
        ("method.lambdas=0.1", r"method.lambdas = 0.1: expected a list in square brackets"),
        ("method.lambdas=[0.1, 0.2, 0.3, 0.4]", r"method.lambdas = .*: expected at most 3 values$"),
        ("distill.teachers=base", r"distill.teachers = 'base': expected a list in square brackets$"),
        ("distill.teachers=[3]", r"distill.teachers.0 = 3: expected a path in quotes"),
        (
            "model.channels=[8, 16, 32]",
            r"model.channels = \[8, 16, 32\]: a value is missing, at position 4",
        ),
        ("optim.compile=True", "optim.compile = 'True': .*truth values like true"),
    ],
)
def test_bad_override_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, 'name = "x"\n'), [override])


def test_a_recipe_that_was_written_down_is_told_from_another_by_its_first_key() -> None:
    recipe = parse_recipe({"name": "x", "data": {"root": "here", "workers": 2}}, "x.toml")
    document = recipe.model_dump(mode="json")
    for table, key in (("data", "root"), ("data", "workers"), ("optim", "average")):
        del document[table][key]
    assert first_difference(document, recipe) is None
    other = parse_recipe({"name": "x", "optim": {"lr": 0.2}, "seed": 3}, "x.toml")
    assert first_difference(document, other) == ("optim.lr", 0.1, 0.2)
    assert first_difference(document | {"gone": 1}, recipe) == ("gone", 1, None)

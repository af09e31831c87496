from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from crossfer.train.ablate import load_rows
from crossfer.train.intensity import conditions
from crossfer.train.recipe_file import load_recipe
from crossfer.train.trial_result import StudyError, read_result, read_results
from support.toy_faces import toy_recipe
from support.toy_results import toy_result

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with the result of one trial of the toy recipe."""
    made = replace(toy_result("toy", 0, 0.5), recipe=toy_recipe().model_dump(mode="json"))
    (tmp_path / "toy-s0.json").write_text(json.dumps(asdict(made)))
    return tmp_path


@pytest.mark.parametrize(
    ("first", "second", "change"),
    [
        ({}, {}, None),
        ({"faces": None}, {}, None),
        ({}, {"faces": None}, None),
        (
            {},
            {"faces": {"train": "48 faces, targets b", "valid": "24 faces, targets b"}},
            "train: 48 faces, t.*",
        ),
        ({}, {"faces": {"train": "48 faces, targets a", "valid": "24 faces, targets a"}}, "valid: .*"),
        ({}, {"faces": None, "valid_n": 23}, "valid: 23 faces, against 24 faces, targets b"),
        ({"faces": None}, {"faces": None, "train_n": 480}, "train: 480 faces, against 48 faces"),
        ({"faces": None, "train_n": 4}, {}, "train: 48 faces, against 4 faces"),
    ],
)
def test_results_of_other_data_are_not_set_side_by_side(
    first: dict[str, Any], second: dict[str, Any], change: str | None, tmp_path: Path
) -> None:
    """Also where one, or both, note no more than how many faces there were, as older versions did."""
    recipe = toy_recipe()
    noted = {"faces": {"train": "48 faces, targets a", "valid": "24 faces, targets b"}}
    for row, differs in (("a", first), ("b", {"faces": None}), ("c", second)):
        made = replace(toy_result(row, 0, 0.5), train_n=48, valid_n=24, recipe=recipe.model_dump(mode="json"))
        (tmp_path / f"{row}-s0.json").write_text(json.dumps(asdict(made) | noted | differs))
    rows = [(row, recipe) for row in "abc"]
    if change is None:
        assert len(read_results(tmp_path, rows)) == 3
        return
    with pytest.raises(
        StudyError, match=rf"-s0\.json: came from other faces than a-s0\.json \({change}\); rem"
    ):
        read_results(tmp_path, rows)


def test_results_are_those_of_the_recipes_alone(kept: Path) -> None:
    assert read_results(kept, [("other", toy_recipe())]) == []
    changed = toy_recipe(optim={"lr": 0.01})
    with pytest.raises(
        StudyError,
        match=r"toy-s0\.json: came from another recipe \(optim\.lr = 0\.05, now 0\.01\); remove it",
    ):
        read_results(kept, [("other", toy_recipe()), ("toy", changed)])


def test_a_copied_result_does_not_count_as_a_seed(kept: Path) -> None:
    (kept / "toy-s0.json").rename(kept / "toy-s0 (copy).json")
    with pytest.raises(StudyError, match=r"\(copy\)\.json: expected the name toy-s0\.json"):
        read_results(kept, [("toy", toy_recipe())])


def test_a_result_without_what_an_observer_notes_is_named(kept: Path) -> None:
    with pytest.raises(StudyError, match=r"toy-s0\.json: expected a run whose intensity was noted, .*remove"):
        read_results(kept, [("toy", toy_recipe())], observed="intensity")


@pytest.mark.parametrize("study", ["ablation", "gain", "gain-balance", "gain-choices", "intensity"])
def test_the_results_that_are_kept_are_those_of_the_recipes_that_are_kept(study: str) -> None:
    whole = load_recipe(ROOT / "recipes" / "ablation" / "all.toml", ["optim.precision=32-true"])
    recipes = sorted((ROOT / "recipes" / study).glob("*.toml"))
    rows = conditions(whole) if study == "intensity" else load_rows(recipes)
    files = list((ROOT / "results" / study).glob("*.json"))
    assert len(read_results(ROOT / "results" / study, rows)) == len(files) > 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"row": "a"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StudyError, match=r"x\.json: expected the result file of a run, found another"):
        read_result(tmp_path / "x.json")

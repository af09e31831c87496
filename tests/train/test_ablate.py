from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossfer.train.ablate import ablation_table, load_rows
from crossfer.train.config import RecipeError
from crossfer.train.trial_result import TrialResult


def result(row: str, seed: int, accuracy: float) -> TrialResult:
    return TrialResult(row, seed, accuracy, accuracy, 1.0, 10_000, 3199, 10, 61.4, "32-true", "abc", {})


def recipe(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.write_text(text)
    return path


def test_a_row_is_called_what_its_recipe_is(tmp_path: Path) -> None:
    paths = [recipe(tmp_path, f"{n}.toml", f'name = "{n}"\n[data]\nname = "synthetic"') for n in ("b", "a")]
    assert [name for name, _ in load_rows(paths)] == ["b", "a"]


def test_rows_may_differ_in_what_is_learnt_from_a_face_and_how(tmp_path: Path) -> None:
    one = recipe(tmp_path, "one.toml", 'name = "one"')
    labels = recipe(tmp_path, "labels.toml", 'name = "labels"\n[data]\ntarget = "label"')
    last = recipe(tmp_path, "last.toml", 'name = "last"\n[optim]\nema_decay = 0.0\nlr = 0.05')
    assert [name for name, _ in load_rows([one, labels, last])] == ["one", "labels", "last"]


def test_rows_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    one = recipe(tmp_path, "one.toml", 'name = "one"')
    with pytest.raises(RecipeError, match="two recipes are called 'one'"):
        load_rows([one, one])
    longer = recipe(tmp_path, "longer.toml", 'name = "longer"\n[optim]\nepochs = 99')
    with pytest.raises(RecipeError, match=r"'longer' differs from 'one' in optim\.epochs"):
        load_rows([one, longer])
    fewer = recipe(tmp_path, "fewer.toml", 'name = "fewer"\n[data]\nlimit = 5')
    with pytest.raises(RecipeError, match=r"'fewer' differs from 'one' in data\.limit"):
        load_rows([one, fewer])


def test_the_table_gives_mean_deviation_and_paired_difference() -> None:
    results = [result("all", s, 0.80 + s / 100) for s in range(3)]
    results += [result("msr", s, 0.78 + s / 100 + (s == 1) / 1000) for s in range(3)]
    results += [result("clfm", 0, 0.81)]
    table = ablation_table(["msr", "clfm", "clbs", "all"], results, "all")
    lines = table.splitlines()
    assert lines[2] == "| msr | 3 | 79.03 ± 1.00 | -1.97 ± 0.14 * | 61 |"
    assert lines[3] == "| clfm | 1 | 81.00 | +1.00 (one seed) | 61 |"
    assert lines[4] == "| clbs | 0 | not run | | |"
    assert lines[5] == "| all | 3 | 81.00 ± 1.00 |  | 61 |"
    assert "10,000 training faces, 10 epochs" in table
    assert "is ± 0.1 points: about the smallest difference that this budget can detect" in table


def test_the_mean_over_the_classes_has_its_columns_once_the_reference_has_noted_it() -> None:
    noted = [
        replace(result(row, seed, 0.8), valid_mean_class_accuracy=mean + seed / 100)
        for row, mean in (("even", 0.7), ("all", 0.6))
        for seed in range(2)
    ]
    lines = ablation_table(
        ["even", "older", "all", "none"], [*noted, result("older", 0, 0.8)], "all"
    ).splitlines()
    assert lines[0].startswith(
        "| row | seeds | valid accuracy % | less all (95 %, paired) | mean over the classes %"
    )
    assert lines[2] == "| even | 2 | 80.00 ± 0.00 | +0.00 ± 0.00 | 70.50 ± 0.71 | +10.00 ± 0.00 * | 61 |"
    assert lines[3] == "| older | 1 | 80.00 | +0.00 (one seed) | not noted | no seed in both | 61 |"
    assert lines[4] == "| all | 2 | 80.00 ± 0.00 |  | 60.50 ± 0.71 |  | 61 |"
    assert {line.count("|") for line in lines[:6]} == {8}
    assert lines[5].startswith("| none | 0 | not run |")
    against = ablation_table(["even", "older"], [*noted, result("older", 0, 0.8)], "older")
    assert "mean over the classes" not in against


def test_an_empty_study_says_so() -> None:
    table = ablation_table(["a"], [], "a")
    assert "| row | seeds | valid accuracy %" in table
    assert "Nothing has been run yet." in table

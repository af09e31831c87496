from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from crossfer.labels import LabelSet, label_set
from crossfer.system.processor import processor
from crossfer.train.ablate import load_rows
from crossfer.train.config import Recipe
from crossfer.train.intensity import conditions
from crossfer.train.loader import FaceTensors
from crossfer.train.loop import train
from crossfer.train.recipe_file import load_recipe
from crossfer.train.record import Progress
from crossfer.train.stream import fingerprint
from crossfer.train.study import (
    StudyError,
    Trial,
    TrialResult,
    paired_difference,
    read_result,
    read_results,
    run_trial,
    trials,
)
from support.observers import EachStep
from support.toy_faces import LABELS, toy_faces, toy_recipe

ROOT = Path(__file__).parents[2]
ANOTHER = r"toy-s0\.json: came from another recipe \(optim\.lr = 0\.05, now 0\.01\); remove it, or name"


def faces(_: Recipe) -> tuple[LabelSet, FaceTensors, FaceTensors]:
    return LABELS, toy_faces(48), toy_faces(24, seed=1)


def run(trial: Trial, folder: Path, **options: Any) -> TrialResult:
    return run_trial(trial, faces, results=folder / "results", runs=folder / "runs", **options)


def result(row: str, seed: int, accuracy: float) -> TrialResult:
    return TrialResult(row, seed, accuracy, accuracy, 1.0, 10, 5, 2, 1.0, "32-true", "abc", {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrialResult]:
    folder = tmp_path_factory.mktemp("study")
    return folder, run(Trial("toy", toy_recipe()), folder)


def test_every_row_comes_with_every_seed_seed_by_seed() -> None:
    planned = trials([("a", toy_recipe()), ("b", toy_recipe())], range(2))
    assert [t.name for t in planned] == ["a-s0", "b-s0", "a-s1", "b-s1"]
    assert [t.recipe.seed for t in planned] == [0, 0, 1, 1]


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
        made = replace(result(row, 0, 0.5), train_n=48, valid_n=24, recipe=recipe.model_dump(mode="json"))
        (tmp_path / f"{row}-s0.json").write_text(json.dumps(asdict(made) | noted | differs))
    rows = [(row, recipe) for row in "abc"]
    if change is None:
        assert len(read_results(tmp_path, rows)) == 3
        return
    with pytest.raises(
        StudyError, match=rf"-s0\.json: came from other faces than a-s0\.json \({change}\); rem"
    ):
        read_results(tmp_path, rows)


def test_a_trial_leaves_one_result_file_and_no_run(whole: tuple[Path, TrialResult]) -> None:
    folder, found = whole
    assert (found.row, found.seed, found.train_n, found.valid_n, found.epochs) == ("toy", 0, 48, 24, 3)
    assert 0 <= found.valid_accuracy <= found.best_accuracy <= 1
    assert (found.precision, found.processor) == ("32-true", processor())
    assert found.faces == {"train": fingerprint(toy_faces(48)), "valid": fingerprint(toy_faces(24, seed=1))}
    assert found.seconds > 0
    assert read_results(folder / "results", [("toy", toy_recipe())]) == [found]
    assert list((folder / "runs").iterdir()) == []
    assert "root" not in json.loads((folder / "results" / "toy-s0.json").read_text())["recipe"]["data"]


def test_what_has_a_result_is_not_run_again(whole: tuple[Path, TrialResult]) -> None:
    folder, found = whole

    def refuse(_: Recipe) -> tuple[LabelSet, FaceTensors, FaceTensors]:
        raise AssertionError("loaded")

    again = run_trial(Trial("toy", toy_recipe()), refuse, results=folder / "results", runs=folder / "runs")
    assert again == found


def test_a_result_of_another_recipe_is_named(whole: tuple[Path, TrialResult]) -> None:
    folder, _ = whole
    with pytest.raises(StudyError, match=ANOTHER):
        run(Trial("toy", toy_recipe(optim={"lr": 0.01})), folder)


def test_results_are_those_of_the_recipes_alone(whole: tuple[Path, TrialResult]) -> None:
    folder = whole[0] / "results"
    assert read_results(folder, [("other", toy_recipe())]) == []
    changed = toy_recipe(optim={"lr": 0.01})
    with pytest.raises(StudyError, match=ANOTHER):
        read_results(folder, [("other", toy_recipe()), ("toy", changed)])


def test_a_copied_result_does_not_count_as_a_seed(whole: tuple[Path, TrialResult], tmp_path: Path) -> None:
    shutil.copy(whole[0] / "results" / "toy-s0.json", tmp_path / "toy-s0 (copy).json")
    with pytest.raises(StudyError, match=r"\(copy\)\.json: expected the name toy-s0\.json"):
        read_results(tmp_path, [("toy", toy_recipe())])


def test_a_result_without_what_an_observer_notes_is_named(whole: tuple[Path, TrialResult]) -> None:
    with pytest.raises(StudyError, match=r"toy-s0\.json: expected a run whose intensity was noted, .*remove"):
        read_results(whole[0] / "results", [("toy", toy_recipe())], observed="intensity")


@pytest.mark.parametrize("study", ["ablation", "gain", "gain-balance", "intensity"])
def test_the_results_that_are_kept_are_those_of_the_recipes_that_are_kept(study: str) -> None:
    whole = load_recipe(ROOT / "recipes" / "ablation" / "all.toml", ["optim.precision=32-true"])
    recipes = sorted((ROOT / "recipes" / study).glob("*.toml"))
    rows = conditions(whole) if study == "intensity" else load_rows(recipes)
    files = list((ROOT / "results" / study).glob("*.json"))
    assert len(read_results(ROOT / "results" / study, rows)) == len(files) > 0


def test_a_result_from_before_a_key_existed_counts_as_having_its_default(
    whole: tuple[Path, TrialResult], tmp_path: Path
) -> None:
    folder, found = whole
    document = json.loads((folder / "results" / "toy-s0.json").read_text())
    del document["recipe"]["optim"]["accumulate"], document["recipe"]["optim"]["average"]
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "toy-s0.json").write_text(json.dumps(document))
    assert run(Trial("toy", toy_recipe()), tmp_path).valid_accuracy == found.valid_accuracy
    with pytest.raises(StudyError, match=r"came from another recipe \(optim\.accumulate = 1, now 2\)"):
        run(Trial("toy", toy_recipe(optim={"accumulate": 2})), tmp_path)


def test_runs_that_started_from_different_weights_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    start, results, labels = tmp_path / "start", tmp_path / "results", label_set(",".join(LABELS.expressions))
    first, other = (toy_recipe(optim={"epochs": 1}, seed=seed) for seed in (3, 4))
    recipe = toy_recipe(model={"init": str(start)}, optim={"epochs": 1})

    def again(seed: int) -> TrialResult:
        trial = Trial("toy", recipe.model_copy(update={"seed": seed}))
        return run_trial(trial, lambda r: (labels, *faces(r)[1:]), results=results, runs=tmp_path / "runs")

    train(first, labels, *faces(first)[1:], start)
    digest = hashlib.sha256((start / "best.safetensors").read_bytes()).hexdigest()
    assert again(0).weights == {str(start): digest}
    shutil.rmtree(start)
    assert again(0).weights == {str(start): digest}, "a result needs its weights no longer"

    train(other, labels, *faces(other)[1:], start)
    now = rf"came from other weights than lie there now \({start}: SHA-256 {digest[:8]}"
    with pytest.raises(StudyError, match=rf"toy-s0\.json: {now}"):
        again(0)
    second = again(1)
    with pytest.raises(StudyError, match=rf"toy-s1\.json: .* before it \({start}: SHA-256 {digest[:8]}"):
        read_results(results, [("toy", recipe)])
    old = json.loads((results / "toy-s0.json").read_text()) | {"weights": None}
    (results / "toy-s0.json").write_text(json.dumps(old))
    third = asdict(second) | {"seed": 2, "weights": {str(start): digest}}
    third["recipe"] = third["recipe"] | {"seed": 2}
    (results / "toy-s2.json").write_text(json.dumps(third))
    with pytest.raises(StudyError, match=r"toy-s2\.json: .* before it"):
        read_results(results, [("toy", recipe)])


def test_a_run_that_goes_on_keeps_to_the_weights_that_it_began_with(tmp_path: Path) -> None:
    start, labels = tmp_path / "start", label_set(",".join(LABELS.expressions))
    recipe = toy_recipe(model={"init": str(start)})

    def go_on(**options: Any) -> TrialResult:
        places = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
        return run_trial(Trial("toy", recipe), lambda r: (labels, *faces(r)[1:]), **places, **options)

    def begin_from(seed: int) -> str:
        shutil.rmtree(start, ignore_errors=True)
        first = toy_recipe(optim={"epochs": 1}, seed=seed)
        train(first, labels, *faces(first)[1:], start)
        return hashlib.sha256((start / "best.safetensors").read_bytes()).hexdigest()

    digest = begin_from(3)
    with pytest.raises(KeyboardInterrupt):
        go_on(observers=[EachStep(stop_after(5))])
    begin_from(4)
    with pytest.raises(StudyError, match=rf"toy-s0: came from other weights .*SHA-256 {digest[:8]}"):
        go_on()
    shutil.rmtree(start)
    assert go_on().weights == {str(start): digest}


def stop_after(steps: int) -> Callable[[Progress], None]:
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == steps:
            raise KeyboardInterrupt

    return report


def test_a_trial_that_was_stopped_ends_as_one_that_was_not(
    whole: tuple[Path, TrialResult], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Trial("toy", toy_recipe()), tmp_path, observers=[EachStep(stop_after(5))])
    assert not (tmp_path / "results").exists()
    found = run(Trial("toy", toy_recipe()), tmp_path)
    assert replace(found, seconds=0) == replace(whole[1], seconds=0)


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_no_study_made_is_neither_taken_up_nor_deleted(finished: bool, tmp_path: Path) -> None:
    mine = tmp_path / "runs" / "toy-s0"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    if finished:
        train(toy_recipe(), *faces(toy_recipe()), mine)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    with pytest.raises(StudyError, match=r"toy-s0: .* a folder that no study made, .* another --runs folder"):
        run(Trial("toy", toy_recipe()), tmp_path)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"row": "a"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StudyError, match=r"x\.json: expected the result file of a run, found another"):
        read_result(tmp_path / "x.json")


def test_differences_are_paired_by_seed_and_agree_with_scipy() -> None:
    ours = [result("a", s, x) for s, x in enumerate((0.80, 0.82, 0.85))]
    theirs = [result("b", s, x) for s, x in enumerate((0.79, 0.80, 0.84, 0.1))]
    found = paired_difference(ours, theirs)
    expected = stats.ttest_rel([0.80, 0.82, 0.85], [0.79, 0.80, 0.84])
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found.margin is not None
    assert found.seeds == 3
    assert found.mean - found.margin == pytest.approx(interval.low, abs=1e-6)
    assert found.mean + found.margin == pytest.approx(interval.high, abs=1e-6)
    assert found.excludes_zero == (expected.pvalue < 0.05)


def test_without_a_common_seed_there_is_no_difference() -> None:
    assert paired_difference([result("a", 0, 0.5)], [result("b", 1, 0.5)]) is None
    single = paired_difference([result("a", 0, 0.5)], [result("b", 0, 0.25)])
    assert single is not None
    assert (single.mean, single.margin, single.excludes_zero) == (0.25, None, False)

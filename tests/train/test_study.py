from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crossfer.data.splitfile import SplitFile, read_split_file
from crossfer.labels import LabelSet, label_set
from crossfer.system.processor import processor
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import Recipe, RecipeError
from crossfer.train.faults import TrainingError
from crossfer.train.intensity import conditions
from crossfer.train.loader import FaceTensors
from crossfer.train.loop import train
from crossfer.train.record import Progress
from crossfer.train.source import CUT_FOR
from crossfer.train.stream import fingerprint
from crossfer.train.study import run_study, run_trial, trials
from crossfer.train.trial_result import StudyError, Trial, TrialResult, read_results
from data.layouts import write_class_folders
from support.observers import EachStep
from support.toy_faces import LABELS, toy_faces, toy_recipe

ANOTHER = r"toy-s0\.json: came from another recipe \(optim\.lr = 0\.05, now 0\.01\); remove it, or name"


def faces(_: Recipe) -> tuple[LabelSet, FaceTensors, FaceTensors]:
    return LABELS, toy_faces(48), toy_faces(24, seed=1)


def run(trial: Trial, folder: Path, **options: Any) -> TrialResult:
    return run_trial(trial, faces, results=folder / "results", runs=folder / "runs", **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrialResult]:
    folder = tmp_path_factory.mktemp("study")
    return folder, run(Trial("toy", toy_recipe()), folder)


def test_every_row_comes_with_every_seed_seed_by_seed() -> None:
    planned = trials([("a", toy_recipe()), ("b", toy_recipe())], range(2))
    assert [t.name for t in planned] == ["a-s0", "b-s0", "a-s1", "b-s1"]
    assert [t.recipe.seed for t in planned] == [0, 0, 1, 1]


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


def test_a_study_cuts_its_validation_split_as_a_run_does(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 20, "Happy": 20}, size=(32, 32))
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.2, "class_limit": 12}
    rows = [("mine", toy_recipe(data=data, optim={"epochs": 1, "batch_size": 8}))]
    told = io.StringIO()
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    (tmp_path / "runs").mkdir()
    other = SplitFile("folder", "of another study", {"a.png": "valid"}, purpose=CUT_FOR)
    (tmp_path / "runs" / "split.csv").write_text(other.to_text())
    run_study(trials(rows, range(2)), root=root, console=Console(file=told), **folders)
    found = read_results(folders["results"], rows)
    assert [(result.train_n, result.valid_n) for result in found] == [(24, 8), (24, 8)]
    assert told.getvalue().count("20 % of each class cut out of train for validation: ") == 1
    parts = list(read_split_file(tmp_path / "runs" / "split.csv").split_of.values())
    assert (parts.count("train"), parts.count("valid")) == (32, 8)


@pytest.mark.parametrize("noted", [True, False])
def test_a_study_does_not_go_on_with_other_data(noted: bool, tmp_path: Path) -> None:
    """Results of older versions say how many faces there were, and nothing more of them."""
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.2}
    rows = [(row, toy_recipe(data=data, optim={"epochs": 1, "batch_size": 8})) for row in ("one", "two")]
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}

    def go_on(root: Path, seeds: int) -> list[TrialResult]:
        run_study(trials(rows, range(seeds)), root=root, console=Console(file=io.StringIO()), **folders)
        return read_results(folders["results"], rows)

    first = write_class_folders(tmp_path / "first", {"Bored": 20, "Happy": 20}, size=(32, 32))
    other = write_class_folders(
        tmp_path / "other", {"Bored": 21 if noted else 30, "Happy": 20}, size=(32, 32)
    )
    found = go_on(first, 1)
    if not noted:
        for path in (tmp_path / "results").iterdir():
            path.write_text(json.dumps(json.loads(path.read_text()) | {"faces": None}))
    with pytest.raises(
        StudyError, match=r"one-s0\.json: came from other faces than the data has now \(train: "
    ):
        go_on(other, 2)
    assert len(list((tmp_path / "results").iterdir())) == 2
    again = go_on(first, 2)
    assert {result.faces["valid"] for result in again if result.faces} == {found[0].known_faces["valid"]}
    assert len(go_on(tmp_path / "nowhere", 2)) == 4, "what has a result needs no data"


def test_rows_that_learn_otherwise_from_the_same_faces_stand_in_one_table(tmp_path: Path) -> None:
    def rows(samples: int) -> list[tuple[str, Recipe]]:
        one = {"name": "synthetic", "samples": samples}
        optim = {"epochs": 1, "batch_size": 8}
        taught = {"votes": "votes", "labels": "label", "votes-too": "votes"}
        return [(row, toy_recipe(data=one | {"target": to}, optim=optim)) for row, to in taught.items()]

    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    for seeds in (1, 2):  # the second goes on beside what the first left
        run_study(trials(rows(16), range(seeds)), root=None, console=Console(file=io.StringIO()), **folders)
    found = read_results(folders["results"], rows(16))
    assert [(result.row, result.seed) for result in found] == [
        (row, seed) for row in ("labels", "votes", "votes-too") for seed in (0, 1)
    ]
    assert len({result.known_faces["train"] for result in found}) == 2
    for row, known in (("votes", "17 faces, targets 0123"), ("votes-too", "16 faces, targets 0123")):
        path = folders["results"] / f"{row}-s1.json"
        kept = path.read_text()
        path.write_text(json.dumps(json.loads(kept) | {"faces": found[0].known_faces | {"train": known}}))
        with pytest.raises(StudyError, match=rf"{row}-s1\.json: came from other faces than .*train: {known}"):
            read_results(folders["results"], rows(16))
        path.write_text(kept)


@pytest.mark.parametrize(
    "missing", [{"model": {"init": "no.safetensors"}}, {"distill": {"teachers": ["no.safetensors"]}}]
)
def test_a_study_misses_weights_of_its_last_row_before_it_runs_the_first(
    tmp_path: Path, missing: dict[str, dict[str, object]]
) -> None:
    data = {"data": {"name": "synthetic", "samples": 16}}
    rows = [("first", toy_recipe(**data)), ("second", toy_recipe(**data, **missing))]
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    with pytest.raises(CheckpointError, match=r"no\.safetensors"):
        run_study(trials(rows, range(1)), root=None, console=Console(file=io.StringIO()), **folders)
    assert not list(tmp_path.rglob("*.json"))


def test_a_run_in_the_way_of_a_study_s_last_row_is_named_before_the_first_is_trained(tmp_path: Path) -> None:
    rows = [(name, toy_recipe(data={"name": "synthetic", "samples": 16})) for name in ("first", "second")]
    (tmp_path / "runs" / "second-s0").mkdir(parents=True)
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    with pytest.raises(StudyError, match=r"second-s0: .* a folder that no study made"):
        run_study(trials(rows, range(1)), root=None, console=Console(file=io.StringIO()), **folders)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("kept", ["best.safetensors", "last.safetensors"])
def test_a_study_does_not_work_in_the_folder_of_a_run(kept: str, tmp_path: Path) -> None:
    (tmp_path / kept).touch()
    (tmp_path / "split.csv").write_text(
        SplitFile("folder", "", {"a.png": "valid"}, purpose=CUT_FOR).to_text()
    )
    before = (tmp_path / "split.csv").read_bytes()
    planned = trials([("mine", toy_recipe(data={"name": "synthetic", "samples": 16}))], range(1))
    with pytest.raises(StudyError, match=r": holds a run, .*; name another --runs folder"):
        run_study(
            planned,
            root=None,
            results=tmp_path / "results",
            runs=tmp_path,
            console=Console(file=io.StringIO()),
        )
    assert (tmp_path / "split.csv").read_bytes() == before


def test_a_row_that_asks_for_what_its_other_keys_leave_out_stops_a_study_before_the_first_run(
    tmp_path: Path,
) -> None:
    rows = conditions(toy_recipe(method={"feature_map": False, "batch": False}))
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    with pytest.raises(RecipeError, match=r"^toy: method.lambdas \[0.0, 0.1, 0.0\] weigh no term"):
        run_study(trials(rows, [0]), root=None, console=Console(file=io.StringIO()), **folders)
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_runs_without_labels_is_refused(tmp_path: Path) -> None:
    rows = [("labels", toy_recipe()), ("views", toy_recipe(objective="views", augment={"mixup": 0.0}))]
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    with pytest.raises(TrainingError, match=r"^views: learns without labels .*, so has no accuracy"):
        run_study(trials(rows, range(1)), root=None, console=Console(file=io.StringIO()), **folders)
    assert not list(tmp_path.iterdir())

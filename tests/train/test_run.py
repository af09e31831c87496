from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from crossfer.data.splitfile import SplitFile, read_split_file
from crossfer.train.checkpoint import CheckpointError, load_meta
from crossfer.train.faults import TrainingError
from crossfer.train.run import run_recipe, run_study
from crossfer.train.source import CUT_FOR
from crossfer.train.study import StudyError, TrialResult, trials
from data.layouts import write_class_folders
from support.toy_faces import toy_recipe


def test_a_study_cuts_its_validation_split_as_a_run_does(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 20, "Happy": 20}, size=(32, 32))
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.2, "class_limit": 12}
    planned = trials([("mine", toy_recipe(data=data, optim={"epochs": 1, "batch_size": 8}))], range(2))
    told = io.StringIO()
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    (tmp_path / "runs").mkdir()
    other = SplitFile("folder", "of another study", {"a.png": "valid"}, purpose=CUT_FOR)
    (tmp_path / "runs" / "split.csv").write_text(other.to_text())
    found = run_study(planned, root=root, console=Console(file=told), **folders)
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
        return run_study(
            trials(rows, range(seeds)), root=root, console=Console(file=io.StringIO()), **folders
        )

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


def test_a_study_of_runs_without_labels_is_refused(tmp_path: Path) -> None:
    rows = [("labels", toy_recipe()), ("views", toy_recipe(objective="views", augment={"mixup": 0.0}))]
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    with pytest.raises(TrainingError, match=r"^views: learns without labels .*, so has no accuracy"):
        run_study(trials(rows, range(1)), root=None, console=Console(file=io.StringIO()), **folders)
    assert not list(tmp_path.iterdir())


def test_what_is_left_out_is_named_as_it_is(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 8, "Happy": 8}, size=(32, 32))
    (root / "Bored" / "[bold]a[0].png").write_bytes(b"none")
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.3, "skip_bad": True}
    recipe = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 4})
    told = io.StringIO()
    run_recipe(recipe, tmp_path / "run", root=root, console=Console(file=told, width=500))
    assert "[bold]a[0].png" in told.getvalue()


def test_where_the_data_lies_is_not_kept_and_may_be_elsewhere_on_resuming(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 8, "Happy": 8}, size=(32, 32))
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.3}
    recipe, quiet = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 4}), Console(quiet=True)
    run_recipe(recipe, tmp_path / "run", root=root, console=quiet)
    for name in ("best", "last"):
        assert load_meta(tmp_path / "run" / f"{name}.safetensors")["recipe"]["data"]["root"] is None
    moved = root.rename(tmp_path / "moved")
    assert run_recipe(recipe, tmp_path / "run", root=moved, resume=True, console=quiet).best_epoch == 1


def test_the_split_file_that_a_run_is_told_to_use_stays(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 4, "Happy": 4}, size=(32, 32))
    names = {f"{name}/{i}.png": "valid" if i else "train" for name in ("Bored", "Happy") for i in range(4)}
    mine = tmp_path / "run" / "split.csv"
    mine.parent.mkdir()
    mine.write_text(SplitFile("folder", "", names).to_text())
    data = {"name": "folder", "target": "label", "classes": "found", "split_file": str(mine)}
    recipe = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 2})
    told = io.StringIO()
    run_recipe(recipe, mine.parent, root=root, console=Console(file=told, width=500))
    assert "valid: 6 faces" in told.getvalue()
    assert read_split_file(mine).split_of == names

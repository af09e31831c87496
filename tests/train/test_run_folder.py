from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossfer.system.lock import FolderInUseError
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.faults import TrainingError
from crossfer.train.record import Progress
from crossfer.train.run_folder import alone_in
from support.observers import EachStep
from support.runs import assert_same_run, toy_run
from support.toy_faces import toy_recipe
from support.windows import keep_open_files


def test_one_process_trains_into_a_folder(tmp_path: Path) -> None:
    def another(_: Progress) -> None:
        with pytest.raises(FolderInUseError, match=r"another run is writing there now"):
            toy_run(toy_recipe(), tmp_path / "run")

    result = toy_run(toy_recipe(optim={"epochs": 1}), tmp_path / "run", observers=[EachStep(another)])
    assert len(result.history) == 1
    toy_run(toy_recipe(optim={"epochs": 1}), tmp_path / "run", resume=True)


def test_a_run_of_another_format_is_named(whole: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", tensors, {**meta, "format": 1})
    with pytest.raises(
        CheckpointError, match=r"expected a run of format 2, found 1, .* start again in another"
    ):
        toy_run(toy_recipe(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"optim": {"lr": 0.01}}, "was trained with optim.lr = 0.05, the recipe now says 0.01"),
        ({"model": {"dim": 4}}, "was trained with model.dim = 8, the recipe now says 4"),
        (
            {"method": {"lambdas": [0.1, 0.2, 0.1]}},
            r"method.lambdas = \[0.0, 0.1, 0.0\], .* \[0.1, 0.2, 0.1\]",
        ),
        ({"augment": {"flip": 0.0}}, "was trained with augment.flip = 0.5"),
        ({"data": {"target": "label"}}, "was trained with data.target = 'votes'"),
    ],
)
def test_resume_with_another_recipe_names_the_key(whole: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=f"{whole.name}: .*{message}"):
        toy_run(toy_recipe(**tables), whole, resume=True)


def test_a_folder_that_holds_a_run_is_refused(whole: Path) -> None:
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    with pytest.raises(TrainingError, match=r"whole: holds a run already; add --resume to go on with it"):
        toy_run(toy_recipe(), whole)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == before


@pytest.mark.parametrize("resume", [False, True])
def test_chosen_weights_that_are_left_of_a_run_are_not_overwritten(
    resume: bool, whole: Path, tmp_path: Path
) -> None:
    best = tmp_path / "best.safetensors"
    tensors, meta = checkpoint.load(whole / "best.safetensors")
    for left in ({"epoch": 2}, {"epoch": 1, "recipe": {**meta["recipe"], "seed": 7}}, {"recipe": None}):
        checkpoint.save(best, tensors, meta | left)
        before = best.read_bytes()
        with pytest.raises(TrainingError, match=r"holds the best\.safetensors of a run, .* another folder"):
            toy_run(toy_recipe(), tmp_path, resume=resume)
        assert best.read_bytes() == before


def test_a_run_that_was_killed_between_its_first_two_files_begins_anew(whole: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(whole / "best.safetensors")
    checkpoint.save(tmp_path / "best.safetensors", tensors, {**meta, "epoch": 1})
    toy_run(toy_recipe(), tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_set": 3}, "its metadata lacks label_set"),
        ({"recipe": "x"}, "its metadata lacks recipe"),
        ({"history": []}, "its metadata lacks history"),
        ({"history": [{"epoch": 1}]}, "its history: .*missing"),
    ],
)
def test_damaged_metadata_of_a_run_is_named(
    changes: dict[str, Any], message: str, whole: Path, tmp_path: Path
) -> None:
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", tensors, meta | changes)
    with pytest.raises(CheckpointError, match=f"last.safetensors: no run to resume: {message}"):
        toy_run(toy_recipe(), tmp_path, resume=True)


def test_a_run_ends_well_where_an_open_file_cannot_be_removed(tmp_path, monkeypatch):
    keep_open_files(monkeypatch)
    with alone_in(tmp_path / "run"):
        (tmp_path / "run" / "log.csv").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.csv"]
    with alone_in(tmp_path / "empty"):
        pass
    assert not (tmp_path / "empty").exists()

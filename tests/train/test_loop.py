from __future__ import annotations

import csv
import math
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import Recipe
from crossfer.train.loader import FaceTensors
from crossfer.train.loop import (
    Progress,
    TrainingError,
    train,
)
from crossfer.train.network import input_contract, network
from crossfer.train.record import EpochRecord, write_log
from crossfer.train.state import RunState
from support.observers import EachStep
from support.runs import assert_same_run, tensors_of, toy_run
from support.toy_faces import LABELS, toy_faces, toy_recipe

# Learning


def test_a_tiny_run_learns_a_separable_task(tmp_path: Path) -> None:
    recipe = toy_recipe(optim={"epochs": 8, "lr": 0.1})
    result = train(recipe, LABELS, toy_faces(96), toy_faces(48, seed=1), tmp_path / "run")
    assert result.best_accuracy > 0.9
    assert result.history[-1].classification < 0.6 * result.history[0].classification
    assert result.history[-1].valid_loss < result.history[0].valid_loss


def test_progress_is_told_after_every_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = toy_run(toy_recipe(), tmp_path / "run", observers=[EachStep(seen.append)])
    assert [(p.epoch, p.step) for p in seen] == [(e, s) for e in (1, 2, 3) for s in (1, 2, 3)]
    assert all((p.epochs, p.steps) == (3, 3) for p in seen)
    for p in seen:
        assert p.loss == pytest.approx(p.classification + p.feature_map + p.batch, abs=1e-5)
        assert min(p.images_per_second, p.feature_map, p.batch) > 0
    assert [p.valid_accuracy for p in seen[2::3]] == [None, *(r.valid_accuracy for r in result.history[:-1])]
    assert seen[-1].seconds_left == 0


def test_what_a_run_leaves(whole: Path) -> None:
    assert sorted(p.name for p in whole.iterdir()) == ["best.safetensors", "last.safetensors", "log.csv"]
    best, meta = checkpoint.load(whole / "best.safetensors")
    history = checkpoint.load(whole / "last.safetensors")[1]["history"]
    chosen = max(history, key=lambda r: (r["valid_accuracy"], r["epoch"]))
    assert (meta["epoch"], meta["valid_accuracy"]) == (chosen["epoch"], chosen["valid_accuracy"])
    assert (meta["label_set"], meta["labels"]) == ("toy", ["neutral", "happiness", "surprise"])
    assert Recipe.model_validate(meta["recipe"]) == toy_recipe()
    net = network(toy_recipe().model, len(LABELS))
    net.load_state_dict(best)
    with (whole / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for row, record in zip(rows, history, strict=True):
        assert float(row["valid_accuracy"]) == pytest.approx(record["valid_accuracy"], abs=1e-6)


def test_the_rate_follows_its_schedule_from_step_to_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def rate(_: object, epoch: float) -> float:
        asked.append(epoch)
        return 0.001 * epoch

    monkeypatch.setattr("crossfer.train.loop.learning_rate", rate)
    result = toy_run(toy_recipe(optim={"epochs": 2}), tmp_path)
    thirds = [0, 1, 2, 2, 3, 4, 5, 5]  # the last of an epoch is logged
    assert asked == pytest.approx([number / 3 for number in thirds])
    assert [record.learning_rate for record in result.history] == pytest.approx([0.002 / 3, 0.005 / 3])


@pytest.mark.parametrize(("by", "chosen"), [("accuracy", 3), ("mean_class_accuracy", 2)])
def test_of_equally_good_epochs_the_later_is_the_best(by: str, chosen: int) -> None:
    figures = [(0.9, 0.5), (0.7, 0.8), (0.9, 0.5)]
    history = [
        EpochRecord(epoch, 1.0, 1.0, 0.0, 0.0, right, 1.0, 0.1, 1.0, valid_mean_class_accuracy=even)
        for epoch, (right, even) in enumerate(figures, start=1)
    ]
    state = SimpleNamespace(recipe=SimpleNamespace(best_by=by), history=history)
    assert RunState.best.fget(state).epoch == chosen


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_run_goes_on_with_the_faces_that_it_began_with(split: str, tmp_path: Path) -> None:
    recipe, folder = toy_recipe(optim={"epochs": 1}), tmp_path / "run"
    faces = {"train": toy_faces(48), "valid": toy_faces(24, seed=1)}
    train(recipe, LABELS, faces["train"], faces["valid"], folder)
    changed = {**faces, split: toy_faces(21)}
    with pytest.raises(TrainingError, match=rf"began with other {split} faces \(\d+ faces, .*, now 21 faces"):
        train(recipe, LABELS, changed["train"], changed["valid"], folder, resume=True)
    other = faces | {split: replace(faces[split], targets=faces[split].targets.roll(1, dims=1))}
    with pytest.raises(TrainingError, match=rf"began with other {split} faces"):
        train(recipe, LABELS, other["train"], other["valid"], folder, resume=True)
    train(recipe, LABELS, faces["train"], faces["valid"], folder, resume=True)


def test_the_commit_is_that_with_which_a_run_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossfer.train.state.code_commit", lambda: "began")

    def lands(_: Progress) -> None:
        monkeypatch.setattr("crossfer.train.state.code_commit", lambda: "landed since")

    result = toy_run(toy_recipe(optim={"epochs": 1}), tmp_path / "run", observers=[EachStep(lands)])
    assert result.commit == checkpoint.load_meta(tmp_path / "run" / "best.safetensors")["commit"] == "began"


def test_small_rates_stand_in_the_log(tmp_path: Path) -> None:
    record = EpochRecord(1, 1.0, 1.0, 0.0, 0.0, 0.5, 1.2345678, 3.4567e-7, 12.5)
    write_log(tmp_path / "log.csv", [record])
    (row,) = csv.DictReader((tmp_path / "log.csv").read_text().splitlines())
    assert (row["epoch"], float(row["learning_rate"]), row["valid_loss"]) == ("1", 3.4567e-7, "1.23457")


def test_the_contract_is_that_of_the_recipe() -> None:
    contract = input_contract(toy_recipe(model={"color": "rgb"}).model)
    assert contract.shape == (3, 32, 32)


def test_a_set_smaller_than_a_batch_trains(tmp_path: Path) -> None:
    recipe = toy_recipe(optim={"epochs": 1, "batch_size": 64})
    result = train(recipe, LABELS, toy_faces(9), toy_faces(6), tmp_path / "run")
    assert len(result.history) == 1


# Seeds and interruptions


def test_the_same_seed_gives_the_same_weights_and_another_does_not(whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    toy_run(toy_recipe(), tmp_path / "again")
    assert_same_run(whole, tmp_path / "again")
    toy_run(toy_recipe().model_copy(update={"seed": 1}), tmp_path / "other")
    name = "last.model.encoder.conv1.weight"
    assert not torch.equal(tensors_of(whole)[name], tensors_of(tmp_path / "other")[name])


def test_adam_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (2, 2):
            raise KeyboardInterrupt

    recipe = toy_recipe(optim={"optimizer": "adam", "lr": 0.003, "schedule": "exponential"})
    with pytest.raises(KeyboardInterrupt):
        toy_run(recipe, tmp_path / "stopped", observers=[EachStep(stop)])
    toy_run(recipe, tmp_path / "stopped", resume=True)
    toy_run(recipe, tmp_path / "whole")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("at", [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_stopped_by_an_exception_and_resumed_equals_uninterrupted(
    whole: Path, tmp_path: Path, at: tuple[int, int]
) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == at:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        toy_run(toy_recipe(), folder, observers=[EachStep(stop)])
    torch.manual_seed(99)
    seen: list[int] = []
    result = toy_run(toy_recipe(), folder, resume=True, observers=[EachStep(lambda p: seen.append(p.epoch))])
    assert seen[0] == at[0]
    assert [record.epoch for record in result.history] == [1, 2, 3]
    assert_same_run(whole, folder)


def test_resume_of_a_finished_run_changes_nothing(whole: Path) -> None:
    before = {name: (whole / name).read_bytes() for name in ("last.safetensors", "log.csv")}
    (whole / "log.csv").unlink()  # as where it was stopped between the two
    result = toy_run(toy_recipe(), whole, resume=True)
    assert len(result.history) == 3
    assert {name: (whole / name).read_bytes() for name in before} == before


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    assert len(toy_run(toy_recipe(optim={"epochs": 1}), tmp_path / "a" / "b", resume=True).history) == 1


def test_the_data_may_move_between_stop_and_resume(whole: Path) -> None:
    toy_run(toy_recipe(data={"root": "/elsewhere"}), whole, resume=True)


def test_how_the_data_is_read_may_change_too(whole: Path) -> None:
    toy_run(toy_recipe(data={"memory_gb": 0, "workers": 3}), whole, resume=True)


def test_a_run_from_before_a_key_existed_goes_on(whole: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    del meta["recipe"]["optim"]["accumulate"], meta["scaler"], meta["ranks"]
    for record in meta["history"]:
        del record["data_wait"]
    checkpoint.save(tmp_path / "last.safetensors", tensors, meta)
    assert len(toy_run(toy_recipe(), tmp_path, resume=True).history) == 3
    with pytest.raises(TrainingError, match=r"optim.accumulate = 1, the recipe now says 2"):
        toy_run(toy_recipe(optim={"accumulate": 2}), tmp_path, resume=True)


def test_a_last_checkpoint_that_is_truncated_or_of_something_else_is_named(
    whole: Path, tmp_path: Path
) -> None:
    last = tmp_path / "last.safetensors"
    last.write_bytes((whole / "last.safetensors").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"last.safetensors: not a whole safetensors file"):
        toy_run(toy_recipe(), tmp_path, resume=True)
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    del tensors["averaged.module.head.bias"]
    checkpoint.save(last, tensors, meta)
    with pytest.raises(CheckpointError, match=r"last.safetensors: averaged does not fit .* in 1 tensors: "):
        toy_run(toy_recipe(), tmp_path, resume=True)
    checkpoint.save(last, {"w": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=r"last.safetensors: no run to resume: .*recipe.*history"):
        toy_run(toy_recipe(), tmp_path, resume=True)


def test_a_precision_found_by_measuring_stays_that_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(optim={"precision": "auto", "epochs": 2})

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    found: list[str] = []

    def choose(wanted: str, _device: str) -> str:
        """A machine whose measurement comes out otherwise the second time."""
        found.append(wanted if wanted != "auto" else ("32-true", "bf16-mixed")[len(found)])
        return found[-1]

    monkeypatch.setattr("crossfer.train.loop.choose_precision", choose)
    with pytest.raises(KeyboardInterrupt):
        toy_run(recipe, tmp_path / "run", observers=[EachStep(stop)])
    toy_run(recipe, tmp_path / "run", resume=True)
    assert found == ["32-true", "32-true"]


# What cannot go on


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_term(tmp_path: Path) -> None:
    faces = toy_faces(48)
    broken = FaceTensors(faces.images, faces.targets.index_fill(0, torch.arange(48), math.nan), faces.labels)
    with pytest.raises(
        TrainingError,
        match=r"^epoch 1, step 1: the loss is not finite \(total, classification\); .* look at the faces and",
    ):
        train(toy_recipe(), LABELS, broken, toy_faces(6), tmp_path / "run")
    assert not (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize("whole_epochs", [0, 1])
def test_diverging_keeps_the_last_whole_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_epochs: int
) -> None:
    monkeypatch.setattr(
        "crossfer.train.loop.learning_rate", lambda _, epoch: 1e30 if epoch >= whole_epochs else 0.01
    )
    kept = "last whole epoch is kept" if whole_epochs else "no epoch was whole yet, so nothing is kept"
    place = rf"epoch {whole_epochs + 1}, step \d"
    with pytest.raises(TrainingError, match=rf"^{place}: .*(finite|NaN).*{kept}"):
        toy_run(toy_recipe(optim={"clip_norm": 1e30, "epochs": 5}), tmp_path / "run")
    assert (tmp_path / "run" / "last.safetensors").exists() == bool(whole_epochs)


def test_a_run_starts_from_other_weights(tmp_path: Path) -> None:
    weights = network(toy_recipe().model, 3).encoder.state_dict()
    checkpoint.save(tmp_path / "w.safetensors", weights, {})
    still = {"lr": 1e-30, "epochs": 1}
    recipe = toy_recipe(model={"init": str(tmp_path / "w.safetensors")}, optim=still)
    toy_run(recipe, tmp_path / "run")
    found = checkpoint.under("model", checkpoint.load(tmp_path / "run" / "last.safetensors")[0])
    assert torch.equal(found["encoder.layer4.0.conv1.weight"], weights["layer4.0.conv1.weight"])


def test_a_run_goes_on_without_the_weights_that_it_started_from(tmp_path: Path) -> None:
    init = tmp_path / "w.safetensors"
    checkpoint.save(init, network(toy_recipe().model, 3).encoder.state_dict(), {})
    recipe = toy_recipe(model={"init": str(init)})

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_run(recipe, tmp_path / "stopped", observers=[EachStep(stop)])
    toy_run(recipe, tmp_path / "whole")
    init.unlink()
    toy_run(recipe, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    with pytest.raises(CheckpointError, match=r"w\.safetensors: no such checkpoint"):
        toy_run(recipe, tmp_path / "new", resume=True)


def test_a_run_from_before_a_key_was_there_goes_on(whole: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    del meta["recipe"]["data"]["valid_share"]
    checkpoint.save(tmp_path / "last.safetensors", tensors, meta)
    assert len(toy_run(toy_recipe(), tmp_path, resume=True).history) == 3


def test_other_classes_are_refused_on_resuming(whole: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", tensors, meta | {"label_set": "sadness,bored"})
    with pytest.raises(TrainingError, match="was trained for sadness,bored, the data now has toy; put the"):
        toy_run(toy_recipe(), tmp_path, resume=True)


def test_classes_in_the_other_unicode_form_are_the_same_on_resuming(whole: Path, tmp_path: Path) -> None:
    """Runs of earlier versions have the names as macOS wrote those of folders."""
    tensors, meta = checkpoint.load(whole / "last.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", tensors, meta | {"label_set": "a\u0308rger,froh"})
    with pytest.raises(TrainingError, match="the data now has toy"):
        toy_run(toy_recipe(), tmp_path, resume=True)
    labels = replace(LABELS, name="\u00e4rger,froh")
    faces = toy_faces(48), toy_faces(24, seed=1)
    assert len(train(toy_recipe(), labels, *faces, tmp_path, resume=True).history) == 3


def test_records_are_plain_values(whole: Path) -> None:
    history = toy_run(toy_recipe(), whole, resume=True).history
    assert all(isinstance(v, int | float) for record in history for v in asdict(record).values())

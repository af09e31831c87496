"""Rare classes: the loss against a naive twin, what it converges to, and what a run of it and its log say."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crossfer.runtime.preprocess import standardize
from crossfer.train import checkpoint
from crossfer.train.balance import BalancedCrossEntropy
from crossfer.train.config import RecipeError
from crossfer.train.loader import FaceTensors
from crossfer.train.loop import train
from crossfer.train.network import input_contract, network
from crossfer.train.record import Progress
from support.observers import EachStep
from support.runs import assert_same_run
from support.toy_faces import LABELS, toy_faces, toy_recipe


def naive(logits: Tensor, targets: Tensor, shares: list[float], balance: float) -> float:
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        weights = [math.exp(z) * share**balance for z, share in zip(row, shares, strict=True)]
        total -= sum(t * math.log(w / sum(weights)) for t, w in zip(target, weights, strict=True))
    return total / len(logits)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_loss_is_that_of_the_paper(balance: float) -> None:
    torch.manual_seed(0)
    known = torch.softmax(torch.randn(50, 4, dtype=torch.float64) + torch.tensor([3.0, 1, 0, -2]), dim=1)
    logits, targets = torch.randn(6, 4, dtype=torch.float64), known[:6]
    shares = [max(1.0, column.sum().item()) / 50 for column in known.T]
    loss = BalancedCrossEntropy(known, balance)(logits, targets)
    assert float(loss) == pytest.approx(naive(logits, targets, shares, balance), rel=1e-9)


def test_classes_alike_in_number_change_nothing() -> None:
    torch.manual_seed(1)
    logits, targets = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 2, 0]]
    plain = torch.nn.functional.cross_entropy(logits, targets)
    loss = BalancedCrossEntropy(torch.eye(3).repeat(4, 1), 1.0)(logits, targets)
    torch.testing.assert_close(loss, plain)


def test_a_class_that_no_face_shows_counts_as_one_face() -> None:
    adjustment = BalancedCrossEntropy(torch.eye(3)[[0, 0, 0, 1]], 1.0).adjustment
    torch.testing.assert_close(adjustment, torch.log(torch.tensor([0.75, 0.25, 0.25])))


def test_what_is_learnt_is_the_answer_for_classes_alike_in_number() -> None:
    """Of two kinds of pictures, with a logit for each class to be learnt; class 2 is rare."""
    faces = torch.tensor([[60.0, 20, 1], [15, 30, 4]])  # how many show what: (picture, class)
    targets = torch.eye(3).repeat_interleave(faces.sum(dim=0).long(), dim=0)
    loss = BalancedCrossEntropy(targets, 1.0)
    logits = torch.zeros(2, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        shown = faces.sum(dim=1) / faces.sum()
        asked = torch.stack(
            [loss(logits[i : i + 1], faces[i : i + 1] / faces[i].sum()) * shown[i] for i in range(2)]
        ).sum()
        asked.backward()
        return asked

    optimizer.step(closure)
    of_class = faces / faces.sum(dim=0)  # P(picture | class)
    torch.testing.assert_close(
        torch.softmax(logits.detach(), dim=1), of_class / of_class.sum(dim=1, keepdim=True), atol=1e-3, rtol=0
    )


# A run


def unbalanced(count: int, seed: int = 0) -> FaceTensors:
    """Toy faces of which one in sixteen shows the last class, with so much noise that they are guessed."""
    faces = toy_faces(count * 3, seed)
    rare = torch.arange(count * 3) % 48 == 2
    kept = torch.where(faces.labels == 2, rare, torch.ones_like(rare))
    noise = torch.randint(0, 130, faces.images.shape, generator=torch.Generator().manual_seed(seed + 9))
    images = (faces.images.int() + noise).clamp(0, 255).to(torch.uint8)
    return FaceTensors(images[kept], faces.targets[kept], faces.labels[kept])


def test_a_balanced_run_knows_the_rare_class_better(tmp_path: Path) -> None:
    """In the mean of a few seeds: processors round otherwise, and a single run may go either way."""
    torch.set_num_threads(1)
    faces = unbalanced(48), toy_faces(48, seed=1)

    def known(balance: float, seed: int) -> float:
        recipe = toy_recipe(balance=balance, seed=seed, optim={"epochs": 4})
        last = train(recipe, LABELS, *faces, tmp_path / f"{balance}-{seed}").history[-1]
        assert last.valid_mean_class_accuracy is not None
        return last.valid_mean_class_accuracy

    gains = [known(1.0, seed) - known(0.0, seed) for seed in range(6)]
    assert sum(gains) / len(gains) > 0.1, gains


def test_the_log_has_the_mean_over_the_classes(tmp_path: Path) -> None:
    valid = unbalanced(48, seed=1)
    result = train(toy_recipe(optim={"epochs": 1}), LABELS, unbalanced(24), valid, tmp_path)
    net = network(toy_recipe().model, len(LABELS))
    net.load_state_dict(checkpoint.load(tmp_path / "best.safetensors")[0])
    with torch.no_grad():
        answers = net.eval()(
            standardize(valid.images.float() / 255, input_contract(toy_recipe().model))
        ).logits.argmax(1)
    recalls = [float((answers[valid.labels == k] == k).float().mean()) for k in range(3)]
    assert result.history[0].valid_mean_class_accuracy == pytest.approx(sum(recalls) / 3)
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["valid_mean_class_accuracy"]) == pytest.approx(sum(recalls) / 3, abs=1e-6)


@pytest.mark.parametrize(("best_by", "epoch"), [("accuracy", 1), ("mean_class_accuracy", 3)])
def test_the_epoch_that_is_kept_is_the_best_of_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best_by: str, epoch: int
) -> None:
    figures = iter([(0.9, 0.4), (0.5, 0.7), (0.6, 0.7), (0.8, 0.6)])  # the later of equals

    def judge(*_: object) -> dict[str, float]:
        accuracy, mean = next(figures)
        return {"valid_accuracy": accuracy, "valid_mean_class_accuracy": mean, "valid_loss": 1.0}

    monkeypatch.setattr("crossfer.train.loop.validate", judge)
    recipe = toy_recipe(best_by=best_by, optim={"epochs": 4})
    result = train(recipe, LABELS, toy_faces(16), toy_faces(6), tmp_path)
    assert result.best_epoch == epoch
    assert checkpoint.load_meta(tmp_path / "best.safetensors")["epoch"] == epoch


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (2, 1):
            raise KeyboardInterrupt

    recipe, faces = toy_recipe(balance=1.0), (unbalanced(24), toy_faces(12))
    train(recipe, LABELS, *faces, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, LABELS, *faces, tmp_path / "stopped", observers=[EachStep(stop)])
    train(recipe, LABELS, *faces, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"balance": 1.5}, "balance = 1.5: Input should be less than or equal to 1"),
        ({"balance": -0.1}, "balance = -0.1: Input should be greater than or equal to 0"),
        ({"best_by": "f1"}, "best_by = 'f1': Input should be 'accuracy' or 'mean_class_accuracy'"),
        ({"objective": "views", "augment": {"mixup": 0.0}, "balance": 1.0}, "balance is for labels"),
        (
            {"objective": "views", "augment": {"mixup": 0.0}, "best_by": "mean_class_accuracy"},
            "best_by is for labels",
        ),
    ],
)
def test_what_a_recipe_cannot_say(tables: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        toy_recipe(**tables)

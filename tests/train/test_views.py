"""Learning without labels: the loss against a naive twin, and what a run of it is good for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crossfer.labels import LabelSet, label_set
from crossfer.train import checkpoint
from crossfer.train.augment import Augment
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import DistillConfig, Recipe, RecipeError, ViewsConfig
from crossfer.train.export import export
from crossfer.train.loop import train
from crossfer.train.network import network
from crossfer.train.start import start_from
from crossfer.train.teachers import load_teachers
from crossfer.train.views import ViewContrast, partners
from crossfer.train.weights import export_weights
from support.observers import EachStep
from support.runs import assert_same_run
from support.toy_faces import toy_faces, toy_recipe

LABELS = label_set("neutral,happiness,surprise")
SIZES = {"hidden": 16, "dim": 8}


def views_recipe(**tables: Any) -> Recipe:
    optim = {"optimizer": "adamw", "lr": 3e-3, **tables.get("optim", {})}
    augment = {"mixup": 0.0, **tables.get("augment", {})}
    given = {"objective": "views", "views": SIZES, **tables}
    return toy_recipe(**given | {"optim": optim, "augment": augment})


# The loss


def naive(directions: Tensor, temperature: float) -> float:
    """Equation 1 of SimCLR, pair by pair; rows 2i and 2i + 1 are the views of face i."""
    total = 0.0
    for i, one in enumerate(directions):
        scores = [
            math.exp(float(torch.cosine_similarity(one, other, dim=0)) / temperature) for other in directions
        ]
        j = i + 1 if i % 2 == 0 else i - 1
        total -= math.log(scores[j] / (sum(scores) - scores[i]))
    return total / len(directions)


@pytest.mark.parametrize("faces", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_is_that_of_the_paper(faces: int, temperature: float) -> None:
    torch.manual_seed(faces)
    contrast = ViewContrast(ViewsConfig(hidden=5, dim=3, temperature=temperature)).double()
    hidden = torch.randn(2 * faces, 5, dtype=torch.float64)
    projected = torch.relu(hidden) @ contrast.project.weight.T + contrast.project.bias
    loss = float(contrast(hidden, hidden).detach())
    assert loss == pytest.approx(naive(projected.detach(), temperature), rel=1e-9, abs=1e-8)
    found, total = contrast.judge(hidden)
    assert float(total) / len(hidden) == pytest.approx(loss, rel=1e-9, abs=1e-8)
    assert 0 <= int(found) <= len(hidden)


def test_views_that_look_alike_all_and_views_that_are_told_apart() -> None:
    contrast = ViewContrast(ViewsConfig(hidden=4, dim=4, temperature=0.1)).double()
    torch.nn.init.eye_(contrast.project.weight)
    torch.nn.init.zeros_(contrast.project.bias)
    alike = torch.ones(8, 4, dtype=torch.float64)
    assert float(contrast(alike, alike).detach()) == pytest.approx(math.log(7))
    apart = torch.eye(4, dtype=torch.float64).repeat_interleave(2, dim=0)
    assert float(contrast(apart, apart).detach()) == pytest.approx(0, abs=1e-3)
    assert int(contrast.judge(apart)[0]) == 8
    assert int(contrast.judge(apart.roll(1, dims=0))[0]) == 0


def test_partners_are_neighbours() -> None:
    assert partners(torch.zeros(6, 2)).tolist() == [1, 0, 3, 2, 5, 4]


# A run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "views"
    recipe = views_recipe(optim={"epochs": 6})
    result = train(recipe, LABELS, toy_faces(48), toy_faces(24, seed=1), folder)
    assert result.history[-1].classification < 0.8 * result.history[0].classification
    assert result.history[-1].valid_loss < 0.9 * result.history[0].valid_loss
    assert result.best_accuracy > 3 / 31  # a batch of 32 views by chance: 1 / 31
    return folder


def started(run: Path, labels: LabelSet = LABELS, **tables: Any) -> tuple[Recipe, dict[str, Tensor], str]:
    recipe = toy_recipe(**tables)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": run})})
    torch.manual_seed(7)
    net = network(recipe.model, recipe.outputs(len(labels)))
    said = start_from(recipe, net, labels)
    return recipe, dict(net.state_dict()), said


def test_a_labelled_run_starts_from_all_but_its_head(run: Path) -> None:
    recipe, weights, said = started(run)
    assert said == "the network of toy; its head new"
    theirs = checkpoint.load(run / "best.safetensors")[0]
    torch.manual_seed(7)
    fresh = network(recipe.model, 3).state_dict()
    for name, value in weights.items():
        rows = name in ("head.weight", "head.bias", "head.pooled_weight")
        assert torch.equal(value, (fresh if rows else theirs)[name]), name


def test_it_may_be_kept_in_half_precision(run: Path, tmp_path: Path) -> None:
    written = export_weights(run, tmp_path / "views.safetensors")
    _, weights, said = started(written.path)
    assert said == "the network of toy; its head new"
    assert weights["head.weight"].shape[0] == 3


def test_views_go_on_from_views_and_from_labels(run: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"objective": "views", "augment": {"mixup": 0.0}}
    _, weights, said = started(run, **given, views=SIZES)
    assert said == "the network of toy; its head kept"
    theirs = checkpoint.load(run / "best.safetensors")[0]
    assert all(torch.equal(value, theirs[name]) for name, value in weights.items())
    assert started(run, **given, views={"hidden": 12})[2] == "the network of toy; its head new"
    recipe = toy_recipe(optim={"epochs": 1})
    train(recipe, LABELS, toy_faces(16), toy_faces(6), tmp_path / "labelled")
    assert started(tmp_path / "labelled", **given)[2] == "the network of toy; its head new"


def test_labels_are_not_looked_at(tmp_path: Path) -> None:
    faces, names = toy_faces(32), ("as they are", "all the same")
    for name in names:
        if name == names[1]:
            faces.targets[:] = faces.targets[0]
        train(views_recipe(optim={"epochs": 1}), LABELS, faces, toy_faces(12), tmp_path / name)
    one, other = (checkpoint.load(tmp_path / name / "best.safetensors")[0] for name in names)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_views_of_a_face_stay_together_in_the_parts_of_a_batch(tmp_path: Path) -> None:
    recipe = views_recipe(optim={"epochs": 1, "batch_size": 16, "accumulate": 2})
    result = train(recipe, LABELS, toy_faces(9), toy_faces(6), tmp_path / "run")  # parts of 5 and 4 faces
    assert math.isfinite(result.history[0].loss)


def test_what_is_told_of_views_does_not_depend_on_the_parts_of_a_batch(tmp_path: Path) -> None:
    told = []
    for parts in (1, 2, 4):
        recipe = views_recipe(optim={"epochs": 1, "batch_size": 16, "accumulate": parts, "lr": 1e-12})
        result = train(recipe, LABELS, toy_faces(16), toy_faces(40), tmp_path / str(parts))
        told.append(result.history[0].valid_loss)
    # By chance log(31), among 16 faces at once; the statistics of batch norm come of the parts.
    assert told == pytest.approx([told[0]] * 3, rel=0.02)
    assert told[0] > math.log(15)


def test_every_epoch_is_judged_by_the_same_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, whole = list[Tensor](), Augment.forward

    def forward(self: Augment, images: Tensor) -> Tensor:
        seen.append(whole(self, images))
        return seen[-1]

    monkeypatch.setattr(Augment, "forward", forward)
    train(views_recipe(optim={"epochs": 2, "batch_size": 8}), LABELS, toy_faces(8), toy_faces(16), tmp_path)
    learnt, first, second, learnt_again, *again = seen
    assert not torch.equal(learnt, learnt_again)
    assert [torch.equal(*views) for views in zip((first, second), again, strict=True)] == [True, True]


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_views_are_compared_in_single_precision_whatever_the_network_computes_in(
    tmp_path: Path, precision: str
) -> None:
    recipe = views_recipe(optim={"epochs": 2, "precision": precision})
    faces, dtypes, whole = toy_faces(32), set(), torch.nn.functional.cross_entropy

    def cross_entropy(scores: Tensor, *rest: Any, **options: Any) -> Tensor:
        dtypes.add(scores.dtype)
        return whole(scores, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfer.train.views.F.cross_entropy", cross_entropy)
        result = train(recipe, LABELS, faces, toy_faces(12), tmp_path / "run")
    assert dtypes == {torch.float32}
    assert math.isfinite(result.history[-1].loss)


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if (progress.epoch, progress.step) == (2, 2):
            raise KeyboardInterrupt

    faces = toy_faces(48), toy_faces(12)
    recipe = views_recipe(optim={"epochs": 3, "accumulate": 2})
    train(recipe, LABELS, *faces, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, LABELS, *faces, tmp_path / "stopped", observers=[EachStep(stop)])
    train(recipe, LABELS, *faces, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_what_knows_no_expressions_neither_teaches_nor_answers(run: Path, tmp_path: Path) -> None:
    message = r"was trained without labels \(objective = 'views'\) and knows no expressions; start a run"
    with pytest.raises(CheckpointError, match=message):
        load_teachers(DistillConfig(teachers=(run,)), LABELS)
    with pytest.raises(CheckpointError, match=message):
        export(run, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


# Recipes


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"objective": "labels"}, "views belongs to objective 'views', got it with 'labels'"),
        ({"augment": {"mixup": 0.2}}, "augment.mixup is for labels, which objective 'views' does without"),
        ({"distill": {"teachers": ["base"]}}, "distill.teachers is for labels"),
        ({"variant": "released", "method": {"coding": "hash", "contrast": "cosine"}}, "variant is for"),
        ({"views": {"temperature": 0}}, "views.temperature = 0: Input should be greater than 0"),
        ({"objective": "none"}, "objective = 'none': Input should be 'labels' or 'views'"),
    ],
)
def test_what_a_recipe_of_views_cannot_say(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        views_recipe(**tables)

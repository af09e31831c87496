from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from crossfer.method import CrossLayerLoss, LossTerms, Output
from crossfer.train import checkpoint
from crossfer.train.config import Recipe, RecipeError
from crossfer.train.device import open_fabric
from crossfer.train.faults import TrainingError
from crossfer.train.gradient_probe import GradientProbe
from crossfer.train.loader import FaceTensors
from crossfer.train.loop import train
from crossfer.train.network import network
from crossfer.train.record import EpochRecord, Progress
from crossfer.train.state import RunState
from crossfer.train.step import Step
from support.observers import EachEpoch, EachStep
from support.runs import assert_same_run, scaled_from
from support.toy_faces import LABELS, toy_faces, toy_recipe


def a_step(
    recipe: Recipe, folder: Path, *, batch: int = 16, rate: float = 0.0
) -> tuple[Step, dict[str, torch.Tensor]]:
    """A step, which at a rate of 0 changes the gradients alone, and those it leaves for a batch, by name."""
    torch.manual_seed(0)
    precision = recipe.optim.precision
    assert precision != "auto"
    fabric = open_fabric("cpu", precision)
    run = RunState(
        recipe,
        LABELS,
        network(recipe.model, 3),
        fabric,
        folder,
        precision=precision,
        targets=toy_faces(48).targets,
    )
    for module in run.bare.modules():
        module.eval()
    step = Step(run)
    faces = toy_faces(batch)
    step(faces.images, faces.targets, rate)
    named = [*run.bare.named_parameters(prefix="net"), *run.loss.named_parameters(prefix="loss")]
    return step, {name: p.grad.clone() for name, p in named if p.grad is not None}


STILL: dict[str, Any] = {
    "augment": {"flip": 0.0, "rotation": 0.0, "shift": 0.0, "scale": 0.0, "mixup": 0.0, "erasing": 0.0}
}


@pytest.mark.parametrize(("wanted", "batch"), [(4, 16), (2, 5)])  # five are cut into three and two
def test_a_batch_in_parts_has_the_gradient_of_the_whole_but_for_the_batch_terms(
    wanted: int, batch: int, tmp_path: Path
) -> None:
    recipes = [
        toy_recipe(
            **STILL, method={"batch": False, "feature_map": False}, optim={"accumulate": n, "clip_norm": 1e9}
        )
        for n in (1, wanted)
    ]
    whole, parts = (a_step(recipe, tmp_path, batch=batch)[1] for recipe in recipes)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)


def test_each_part_is_clustered_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = torch.nn.functional.normalize

    def clbs_loss(vectors: list[torch.Tensor], stages: list[int], **_: object) -> list[torch.Tensor]:
        seen.append(len(vectors[-1]))
        return [whole(vectors[j - 1]).sum() for j in stages]

    monkeypatch.setattr("crossfer.method.losses.clbs_loss", clbs_loss)
    a_step(toy_recipe(optim={"accumulate": 4}), tmp_path)
    assert seen == [4, 4, 4, 4]


def test_no_part_of_a_small_set_is_a_single_face(tmp_path: Path) -> None:
    """Of which batch norm knows no variance, where the deepest maps are a pixel wide."""
    recipe = toy_recipe(
        model={"image_size": 16, "grid": 4},
        method={"lambdas": [0, 0, 0]},
        optim={"accumulate": 4, "epochs": 1},
    )
    whole = toy_faces(6)
    small = FaceTensors(whole.images[:, :, ::2, ::2].contiguous(), whole.targets, whole.labels)
    for faces in (2, 3, 5):
        some = FaceTensors(small.images[:faces], small.targets[:faces], small.labels[:faces])
        result = train(recipe, LABELS, some, small, tmp_path / str(faces))
        assert math.isfinite(result.history[0].loss)


@pytest.mark.parametrize("accumulate", [3, 16])
def test_parts_that_are_not_equal_are_refused(accumulate: int) -> None:
    with pytest.raises(RecipeError, match="accumulate must cut batch_size 16 into equal parts"):
        toy_recipe(optim={"accumulate": accumulate})


def test_clipping_takes_in_the_projection_of_the_losses(tmp_path: Path) -> None:
    _, free = a_step(toy_recipe(**STILL, optim={"clip_norm": 1e9}), tmp_path)
    _, clipped = a_step(toy_recipe(**STILL, optim={"clip_norm": 1e-3}), tmp_path)
    assert float(free["loss.project.conv.weight"].norm()) > 1e-3
    norm = torch.stack([g.norm() for g in clipped.values()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)
    factor = 1e-3 / torch.stack([g.norm() for g in free.values()]).norm()
    for name, gradient in free.items():
        torch.testing.assert_close(clipped[name], gradient * factor, rtol=1e-3, atol=1e-9)


def test_a_step_is_at_the_rate_given_and_averaged_once_it_is_made(tmp_path: Path) -> None:
    recipe = toy_recipe(**STILL, optim={"average": "swa", "swa_start": 0.9})
    begun, made = (a_step(recipe, tmp_path, rate=rate)[0].run for rate in (0.0, 0.5))
    assert [group["lr"] for group in made.optimizer.param_groups] == [0.5, 0.5]
    for name in ("encoder.conv1.weight", "head.bias"):
        before, after = (run.bare.get_parameter(name) for run in (begun, made))
        assert not torch.equal(before, after)
        assert torch.equal(made.averaged.module.get_parameter(name), after)


def test_faces_are_mixed_where_the_recipe_says_so(tmp_path: Path) -> None:
    mixed = toy_recipe(augment=STILL["augment"] | {"mixup": 1.0})
    (_, plain), (_, found) = (a_step(recipe, tmp_path) for recipe in (toy_recipe(**STILL), mixed))
    assert not torch.allclose(plain["net.head.bias"], found["net.head.bias"], rtol=0.05)


def stop(progress: Progress) -> None:
    if (progress.epoch, progress.step) == (2, 2):
        raise KeyboardInterrupt


def test_float16_goes_on_with_the_scale_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale begins so high that the first gradients overflow: it falls, and the fall must be kept."""
    monkeypatch.setattr("crossfer.train.device.HalfPrecision", scaled_from(2.0**20))
    recipe = toy_recipe(optim={"precision": "16-mixed"})
    train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "whole")
    meta = checkpoint.load(tmp_path / "whole" / "last.safetensors")[1]
    assert meta["precision"] == "16-mixed"
    assert 1 < meta["scaler"]["scale"] < 2.0**20
    assert meta["scaler"]["_growth_tracker"] > 0
    with pytest.raises(KeyboardInterrupt):
        train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "stopped", observers=[EachStep(stop)])
    train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "stopped", resume=True)
    assert checkpoint.load(tmp_path / "stopped" / "last.safetensors")[1]["scaler"] == meta["scaler"]
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_controls_take_their_gradients_in_half_precision_too(tmp_path: Path, precision: str) -> None:
    recipe = toy_recipe(method={"target": "permuted"}, optim={"precision": precision, "epochs": 1})
    assert len(train(recipe, LABELS, toy_faces(48), toy_faces(6), tmp_path / "run").history) == 1


@pytest.mark.parametrize(("precision", "half"), [("bf16-mixed", torch.bfloat16), ("16-mixed", torch.float16)])
def test_maps_reach_the_loss_as_the_network_gives_them_and_logits_in_single_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, half: torch.dtype
) -> None:
    """Another copy of all maps in single precision is memory for nothing."""
    whole, seen = CrossLayerLoss.forward, []

    def forward(self: CrossLayerLoss, output: Output, *rest: Any) -> LossTerms:
        seen.append(output)
        return whole(self, output, *rest)

    monkeypatch.setattr(CrossLayerLoss, "forward", forward)
    a_step(toy_recipe(optim={"precision": precision}), tmp_path)
    (output,) = seen
    assert {x.dtype for x in (*output.features, *output.embeddings)} == {half}
    assert (output.logits.dtype, output.evidence.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize(
    "optim", [{"average": "swa", "swa_start": 0.34}, {"accumulate": 2}, {"schedule": "constant"}]
)
def test_resumed_equals_uninterrupted(tmp_path: Path, optim: dict[str, Any]) -> None:
    recipe = toy_recipe(optim=optim)
    train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "stopped", observers=[EachStep(stop)])
    train(recipe, LABELS, toy_faces(48), toy_faces(12), tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("optim", [{"accumulate": 2}, {"compile": True}])
def test_gradients_are_noted_in_whole_batches_alone(tmp_path: Path, optim: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="noted in whole batches"):
        train(
            toy_recipe(optim=optim),
            LABELS,
            toy_faces(16),
            toy_faces(6),
            tmp_path / "run",
            observers=[GradientProbe()],
        )
    assert not (tmp_path / "run").exists()


def test_observers_are_told_every_epoch_and_the_last_one_again_on_resuming(tmp_path: Path) -> None:
    told: list[EpochRecord] = []
    faces, observers = (toy_faces(48), toy_faces(6)), [EachEpoch(told.append), EachStep(stop)]
    with pytest.raises(KeyboardInterrupt):
        train(toy_recipe(), LABELS, *faces, tmp_path, observers=observers)
    result = train(toy_recipe(), LABELS, *faces, tmp_path, resume=True, observers=observers[:1])
    assert [record.epoch for record in told] == [1, 1, 2, 3]
    assert [replace(record, seconds=0) for record in told[2:]] == [
        replace(record, seconds=0) for record in result.history[1:]
    ]


def test_an_observer_that_fails_loses_nothing(tmp_path: Path) -> None:
    def fail(record: EpochRecord) -> None:
        raise ConnectionError("no answer")

    with pytest.raises(ConnectionError):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path, observers=[EachEpoch(fail)])
    assert len(checkpoint.load(tmp_path / "last.safetensors")[1]["history"]) == 1


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own compiler's parts
def test_a_compiled_network_learns_as_the_other_does(tmp_path: Path) -> None:
    """Its gradients are the same; over steps, rounding moves a face to another cluster and the ways part."""
    (step, compiled), (_, plain) = (
        a_step(toy_recipe(**STILL, optim={"compile": on, "clip_norm": 1e9}), tmp_path / str(on))
        for on in (True, False)
    )
    assert step.run.bare._compiled_call_impl is not None
    assert compiled.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-4, atol=1e-6)
    losses: list[float] = []
    look = EachStep(lambda progress: losses.append(progress.loss))
    recipe = toy_recipe(optim={"compile": True})
    train(recipe, LABELS, toy_faces(48), toy_faces(6), tmp_path, observers=[look])
    assert losses[-1] < 0.7 * losses[0]
    net = network(recipe.model, 3)
    net.load_state_dict(checkpoint.load(tmp_path / "best.safetensors")[0])

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from crossfer.method import build_model
from crossfer.train.faults import TrainingError
from crossfer.train.gradient_probe import GradientProbe, read_rows
from crossfer.train.loop import train
from crossfer.train.observer import Observer
from crossfer.train.record import Progress
from support.observers import EachStep
from support.runs import scaled_from
from support.toy_faces import LABELS, toy_faces, toy_recipe


def run(
    folder: Path, recipe: Any = None, observers: Sequence[Observer] = (), **options: Any
) -> list[dict[str, list[float]]]:
    train(
        recipe or toy_recipe(),
        LABELS,
        toy_faces(48),
        toy_faces(24, seed=1),
        folder,
        observers=[GradientProbe(), *observers],
        **options,
    )
    return read_rows(folder)


def test_intensity_is_the_root_mean_square_of_the_gradient(tmp_path: Path) -> None:
    net = build_model(num_classes=3, image_size=32, in_channels=1, width=4, stem="small", dim=4, grid=4)
    probe = GradientProbe()
    probe.begin(net, tmp_path, 0)
    expected = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        images, labels = torch.randn(6, 1, 32, 32), torch.arange(6) % 3
        net.zero_grad()
        loss = nn.functional.cross_entropy(net(images).logits, labels)
        probe.before_backward()
        loss.backward()
        probe.after_backward(1.0)
        stages = [net.encoder.layer1, net.encoder.layer2, net.encoder.layer3, net.encoder.layer4]
        parameters = [torch.cat([p.grad.flatten() for p in s.parameters()]) for s in stages]
        expected.append([float(g.square().mean().sqrt()) for g in parameters])
    probe.before_checkpoint()
    (row,) = read_rows(tmp_path)
    assert row["parameters"] == pytest.approx([sum(e) / 2 for e in zip(*expected, strict=True)], rel=1e-5)


def test_intensity_on_a_map_counts_all_ways_from_it_to_the_loss(tmp_path: Path) -> None:
    net = build_model(num_classes=3, image_size=32, in_channels=1, width=4, stem="small", dim=4, grid=4)
    images, labels = torch.randn(6, 1, 32, 32), torch.arange(6) % 3
    probe = GradientProbe()
    probe.begin(net, tmp_path, 0)
    loss = nn.functional.cross_entropy(net(images).logits, labels)
    probe.before_backward()
    loss.backward()
    probe.after_backward(1.0)
    probe.before_checkpoint()
    (row,) = read_rows(tmp_path)
    stages = (net.encoder.layer1, net.encoder.layer2, net.encoder.layer3, net.encoder.layer4)
    for found, stage in zip(row["maps"], stages, strict=True):
        addition = _Addition()
        handle = stage.register_forward_hook(addition)
        loss = nn.functional.cross_entropy(net(images).logits, labels)
        handle.remove()
        (gradient,) = torch.autograd.grad(loss, addition.zeros)
        assert found == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-4)


class _Addition:
    """Adds zeros to a module's output; their gradient is that of the output."""

    def __call__(self, _: nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        self.zeros = torch.zeros_like(output, requires_grad=True)
        return output + self.zeros


@pytest.mark.parametrize("target", ["clusters", "permuted"])
def test_looking_on_changes_nothing(tmp_path: Path, target: str) -> None:
    recipe = toy_recipe(method={"k_feature_map": 2, "target": target})
    rows = run(tmp_path / "seen", recipe)
    assert len(rows) == 3
    assert all(value > 0 for row in rows for part in row.values() for value in part)
    train(recipe, LABELS, toy_faces(48), toy_faces(24, seed=1), tmp_path / "unseen")
    ours, theirs = ((tmp_path / name / "best.safetensors").read_bytes() for name in ("seen", "unseen"))
    assert ours == theirs


def test_a_run_that_was_stopped_has_the_rows_of_one_that_was_not(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (3, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", observers=[EachStep(stop)])
    assert run(tmp_path / "stopped", resume=True) == run(tmp_path / "whole")


def test_bfloat16_intensities_are_near_those_of_single_precision(tmp_path: Path) -> None:
    single = run(tmp_path / "a", toy_recipe(optim={"epochs": 1}))[0]
    mixed = run(tmp_path / "b", toy_recipe(optim={"epochs": 1, "precision": "bf16-mixed"}))[0]
    for part in ("maps", "parameters"):
        assert mixed[part] == pytest.approx(single[part], rel=0.3)


@pytest.mark.parametrize("begin", [2.0**10, 2.0**18])
def test_float16_intensities_are_those_of_single_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: float
) -> None:
    """Gradients are scaled; from 2**18 the first ones overflow, and those steps are left out."""
    monkeypatch.setattr("crossfer.train.device.HalfPrecision", scaled_from(begin))
    still = {"augment": {"mixup": 0.0, "flip": 0.0}}
    single = run(tmp_path / "a", toy_recipe(optim={"epochs": 2, "lr": 1e-6}, **still))
    mixed = run(tmp_path / "b", toy_recipe(optim={"epochs": 2, "lr": 1e-6, "precision": "16-mixed"}, **still))
    for ours, theirs in zip(mixed, single, strict=True):
        for part in ("maps", "parameters"):
            assert ours[part] == pytest.approx(theirs[part], rel=0.1)


def test_an_epoch_whose_gradients_all_overflow_has_no_intensity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfer.train.device.HalfPrecision", scaled_from(2.0**60))
    with pytest.raises(TrainingError, match=r"epoch 1: the gradient overflows .*optim.precision=32-true"):
        run(tmp_path, toy_recipe(optim={"precision": "16-mixed"}))
    assert read_rows(tmp_path) == []


@pytest.mark.parametrize("target", ["permuted", "random"])
def test_the_controls_train_in_mixed_precision(tmp_path: Path, target: str) -> None:
    method = {"k_feature_map": 2, "target": target}
    (row,) = run(tmp_path, toy_recipe(optim={"epochs": 1, "precision": "bf16-mixed"}, method=method))
    assert all(value > 0 for part in row.values() for value in part)

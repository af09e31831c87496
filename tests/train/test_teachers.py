"""Distillation: what teachers say, what becomes of the targets, and who may not teach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossfer.data.synthetic import load_synthetic
from crossfer.labels import FERPLUS, LabelSet, label_set
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.preprocess import InputContract, preprocess
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import DistillConfig, Recipe, RecipeError
from crossfer.train.faults import TrainingError
from crossfer.train.loader import FaceTensors, load_faces
from crossfer.train.loop import train
from crossfer.train.network import network
from crossfer.train.observer import Observer
from crossfer.train.recipe_file import parse_recipe, placeless
from crossfer.train.record import Progress
from crossfer.train.stream import stream_faces
from crossfer.train.teachers import Teacher, Teachers, as_input, load_teachers
from crossfer.train.weights import export_weights
from support.observers import EachStep
from support.runs import assert_same_run, tensors_of
from support.toy_faces import toy_faces, toy_recipe

NAMED = label_set("neutral,happiness,surprise")


def weights(path: Path, seed: int = 0, labels: LabelSet = NAMED, **tables: dict[str, Any]) -> Path:
    """The weights of an untrained network that is sure of itself, as a run leaves them."""
    recipe = toy_recipe(**tables)
    torch.manual_seed(seed)
    net = network(recipe.model, len(labels))
    with torch.no_grad():
        assert net.head.pooled_weight is not None
        net.head.pooled_weight.normal_(std=2.0)
    meta = {"recipe": json.loads(recipe.model_dump_json()), "label_set": labels.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, dict(net.state_dict()), meta)
    return path


def taught(*teachers: Path, **tables: dict[str, Any]) -> Recipe:
    distill = {"teachers": [str(teacher) for teacher in teachers], **tables.pop("distill", {})}
    return toy_recipe(distill=distill, **tables)


def images(count: int = 6, channels: int = 1, side: int = 32) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(3))


def answer(teacher: Teacher, x: torch.Tensor) -> torch.Tensor:
    """Logits one image at a time, by the network alone."""
    return torch.stack([teacher.net((face[None] - 0.5) / 0.25).logits[0] for face in x])


# What they say


@pytest.mark.parametrize("mirror", [False, True])
def test_the_mean_of_what_each_says_of_each_image(tmp_path: Path, mirror: bool) -> None:
    one, other = weights(tmp_path / "a.safetensors"), weights(tmp_path / "b.safetensors", seed=1)
    config = taught(one, other, distill={"temperature": 2.0, "mirror": mirror}).distill
    teachers = load_teachers(config, NAMED)
    x = images()
    expected = torch.zeros(6, 3)
    for teacher in teachers:
        logits = answer(teacher, x)
        if mirror:
            logits = (logits + answer(teacher, x.flip(3))) / 2
        expected += torch.softmax(logits / 2.0, dim=1) / 2
    said = Teachers(teachers, config)(x)
    torch.testing.assert_close(said, expected, rtol=1e-5, atol=1e-6)
    assert said.std(dim=0).max() > 0.02  # they do say something


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_their_share_of_the_targets(tmp_path: Path, share: float) -> None:
    config = taught(weights(tmp_path / "a.safetensors"), distill={"share": share}).distill
    teachers = Teachers(load_teachers(config, NAMED), config)
    x, targets = images(), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    blended = teachers.blend(x, targets)
    torch.testing.assert_close(blended, (1 - share) * targets + share * teachers(x))
    torch.testing.assert_close(blended.sum(dim=1), torch.ones(6))


def test_teachers_never_learn(tmp_path: Path) -> None:
    path = weights(tmp_path / "a.safetensors")
    config = taught(path).distill
    teachers = Teachers(load_teachers(config, NAMED), config)
    assert not teachers.train().training
    assert not any(module.training for module in teachers.modules())
    assert not teachers(images()).requires_grad
    kept = teachers.nets[0].state_dict()
    for name, tensor in checkpoint.load(path)[0].items():
        assert torch.equal(kept[name], tensor), name


def test_a_teacher_of_another_colour_and_size_sees_what_the_runtime_would_show_it() -> None:
    crops = [np.random.default_rng(n).integers(0, 256, (64, 64, 3), np.uint8) for n in range(3)]
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    for contract in (InputContract(size=48), InputContract(size=64, mean=0.1, std=0.5)):
        step = 1 / 255 / contract.std  # Pillow rounds to whole grey levels, once for grey, once for size
        np.testing.assert_allclose(as_input(x, contract), preprocess(crops, contract), atol=1.51 * step)


def test_a_grey_face_for_a_teacher_in_colour() -> None:
    x = images(2, side=48)
    seen = as_input(x, InputContract(size=48, color="rgb"))
    assert seen.shape == (2, 3, 48, 48)
    torch.testing.assert_close(seen, ((x - 0.5) / 0.25).expand(-1, 3, -1, -1))


# Runs


def test_a_student_learns_what_its_teacher_says_and_not_the_labels(tmp_path: Path) -> None:
    recipe = toy_recipe(optim={"epochs": 8, "lr": 0.1}, augment={"mixup": 0.0})
    train(recipe, NAMED, toy_faces(96), toy_faces(48, seed=1), tmp_path / "teacher")
    faces = toy_faces(96)
    wrong = FaceTensors(faces.images, faces.targets.roll(1, dims=1), (faces.labels + 1) % 3)
    student = taught(
        tmp_path / "teacher",
        distill={"share": 1.0},
        model={"width": 5},
        optim={"epochs": 8, "lr": 0.1},
    )
    result = train(student, NAMED, wrong, toy_faces(48, seed=1), tmp_path / "student")
    assert result.best_accuracy > 0.9


def test_a_temperature_that_leaves_no_answer_is_named(tmp_path: Path) -> None:
    recipe = taught(weights(tmp_path / "t.safetensors"), distill={"temperature": 1e-300})
    with pytest.raises(
        TrainingError, match=r"^epoch 1, step 1: .*: look at distill.temperature, distill.tea"
    ):
        train(recipe, NAMED, toy_faces(16), toy_faces(6), tmp_path / "run")


class Answers(Observer):
    def __init__(self, told: list[tuple[int, int]]) -> None:
        self.told = told

    def after_answers(self, done: int, faces: int) -> None:
        self.told.append((done, faces))


@pytest.mark.parametrize("mirror", [False, True])
def test_fixed_teachers_leave_targets_of_each_face_as_it_is(tmp_path: Path, mirror: bool) -> None:
    told: list[tuple[int, int]] = []
    distill = {"teaching": "fixed", "mirror": mirror, "share": 0.75}
    # Small steps and no clusters, so that rounding does not grow.
    student = {"optim": {"epochs": 1, "lr": 1e-3}, "method": {"lambdas": (0.0, 0.0, 0.0)}}
    recipe = taught(weights(tmp_path / "t.safetensors"), distill=distill, **student)
    faces, held_out = toy_faces(40), toy_faces(24, seed=1)
    train(recipe, NAMED, faces, held_out, tmp_path / "taught", observers=[Answers(told)])
    assert told == [(13, 40), (26, 40), (40, 40)]

    (teacher,) = load_teachers(recipe.distill, NAMED)
    logits = answer(teacher, faces.images / 255)
    if mirror:
        logits = (logits + answer(teacher, faces.images.flip(3) / 255)) / 2
    targets = 0.25 * faces.targets + 0.75 * logits.softmax(dim=1)
    train(toy_recipe(**student), NAMED, replace(faces, targets=targets), held_out, tmp_path / "told")
    ours, theirs = tensors_of(tmp_path / "taught"), tensors_of(tmp_path / "told")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


def test_fixed_teachers_answer_alike_about_faces_in_a_stream(tmp_path: Path) -> None:
    learnt, held_out = load_synthetic(samples=40), load_synthetic(split="valid", samples=16)
    teacher = weights(tmp_path / "t.safetensors", labels=learnt.labels)
    recipe = taught(teacher, distill={"teaching": "fixed"}, optim={"epochs": 1})
    contract = InputContract(size=32)
    for name, faces in {
        "memory": load_faces(learnt, contract, votes=True),
        "stream": stream_faces(learnt, contract, votes=True, workers=1),
    }.items():
        train(recipe, learnt.labels, faces, load_faces(held_out, contract, votes=True), tmp_path / name)
    assert_same_run(tmp_path / "memory", tmp_path / "stream")


@pytest.mark.parametrize("teaching", ["consistent", "fixed"])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, teaching: str) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (2, 2):
            raise KeyboardInterrupt

    distill = {"mirror": True, "teaching": teaching}
    recipe = taught(weights(tmp_path / "t.safetensors"), distill=distill)
    faces = toy_faces(48), toy_faces(24, seed=1)
    train(recipe, NAMED, *faces, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, NAMED, *faces, tmp_path / "stopped", observers=[EachStep(stop)])
    train(recipe, NAMED, *faces, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_run_remembers_its_teachers_and_goes_on_with_no_others(tmp_path: Path) -> None:
    path = weights(tmp_path / "t.safetensors")
    recipe = taught(path, optim={"epochs": 1})
    faces = toy_faces(48), toy_faces(24, seed=1)
    train(recipe, NAMED, *faces, tmp_path / "run")
    (digest,) = (teacher.sha256 for teacher in load_teachers(recipe.distill, NAMED))
    assert checkpoint.load(tmp_path / "run" / "best.safetensors")[1]["teachers"] == {digest: "toy"}
    small = export_weights(tmp_path / "run", tmp_path / "small.safetensors")
    assert checkpoint.load(small.path)[1]["teachers"] == {digest: "toy"}
    weights(path, seed=1)
    with pytest.raises(
        TrainingError, match=rf"run: was taught by toy \({digest[:12]}\), .* now gives toy \("
    ):
        train(recipe, NAMED, *faces, tmp_path / "run", resume=True)


def test_a_written_recipe_tells_names_and_no_places() -> None:
    recipe = toy_recipe(distill={"teachers": ["/home/me/runs/big", "default"]})
    assert placeless(recipe)["distill"]["teachers"] == ["big", "base"]


# Who may not teach


def test_an_embedded_model_teaches_its_own_classes_only() -> None:
    config = DistillConfig.model_validate({"teachers": ["default"]})
    (teacher,) = load_teachers(config, FERPLUS)
    recipe = read_bundle("default").meta.provenance["recipe"]
    assert (teacher.name, teacher.contract.size) == (recipe["name"], 48)
    with pytest.raises(
        CheckpointError,
        match=r"distill.teachers = 'base': .*knows neutral, .*contempt \(ferplus\), the student is to "
        r"learn neutral, happiness, surprise \(.*name a teacher of the same classes",
    ):
        load_teachers(config, NAMED)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nobody", r"distill.teachers = 'nobody': expected a safetensors file or one of the embedded models"),
        ("gone.safetensors", r"gone.safetensors: no such checkpoint"),
        ("bare.safetensors", r"bare.safetensors: the weights carry no recipe and no label_set"),
        (
            "net.onnx",
            r"net.onnx: expected weights, found a bundle, .*: crossfer export RUN -o",
        ),
        ("released.safetensors", r"model.batch_mean = 'batch' .* name a teacher of variant 'corrected'"),
        ("other.safetensors", r"does not fit its own recipe in \d+ tensors"),
    ],
)
def test_who_cannot_teach_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(Path("bare.safetensors"), {"x": torch.zeros(1)}, {})
    Path("net.onnx").write_bytes(b"\x08\x08 not weights")
    recipe = json.loads(toy_recipe(model={"width": 5}).model_dump_json())
    tensors = checkpoint.load(weights(Path("t.safetensors")))[0]
    checkpoint.save(Path("other.safetensors"), tensors, {"recipe": recipe, "label_set": NAMED.name})
    released = recipe | {"variant": "released"}
    for table in ("model", "method"):
        released.pop(table)
    released["model"] = {"image_size": 96, "stem": "small", "width": 8, "grid": 4, "dim": 8}
    tensors = network(parse_recipe(released, "released").model, len(NAMED)).state_dict()
    checkpoint.save(Path("released.safetensors"), tensors, {"recipe": released, "label_set": NAMED.name})
    config = DistillConfig.model_validate({"teachers": [teacher]})
    with pytest.raises(CheckpointError, match=message):
        load_teachers(config, NAMED)


@pytest.mark.parametrize("values", [{"share": 1.5}, {"temperature": 0}, {"teachers": "default", "to": 1}])
def test_impossible_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"distill\."):
        toy_recipe(distill=values)

"""What stops a run is said in a sentence, and what was learnt stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossfer.data.synthetic import load_synthetic
from crossfer.runtime.preprocess import InputContract
from crossfer.train import checkpoint
from crossfer.train.faults import Place, RankError, TrainingError, explained
from crossfer.train.loader import load_faces
from crossfer.train.loop import _refuse_what_does_not_fit, train
from crossfer.train.network import network
from crossfer.train.ranks import ALONE, Rank
from crossfer.train.record import Progress
from crossfer.train.run_folder import LOCK
from crossfer.train.state import RunState
from crossfer.train.step import Step
from support.observers import EachStep
from support.runs import scaled_from
from support.toy_faces import LABELS, toy_faces, toy_recipe

NOTHING = "no epoch was whole yet, so nothing is kept"
METHOD = "method.temperature, method.lambdas"
CUDA_LOST = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"


def too_much() -> None:
    torch.empty(2**50)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (too_much, r"out of memory with optim.batch_size = 16 .*16 faces of 32 x 32.*optim.accumulate=2"),
        (raising(torch.OutOfMemoryError("CUDA out of memory. Tried")), "out of memory .*optim.batch_size=8"),
        (raising(MemoryError()), "out of memory"),
        (raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")), "out of memory "),
        (raising(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")), "out of memory "),
        (
            raising(
                RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
            ),
            "out of memory ",
        ),
        (raising(RuntimeError(CUDA_LOST)), r"the GPU does not answer any more .*nvidia-smi.*--resume"),
        (raising(RuntimeError("[gloo/x.cc:1] Connection closed by peer")), "another rank does not answer"),
    ],
)
def test_what_the_machine_cannot_do_is_named_and_the_last_epoch_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], None], message: str
) -> None:
    steps = iter(range(100))

    def mixup(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if next(steps) == 4:
            fail()
        return arguments[:2]

    monkeypatch.setattr("crossfer.train.step.mixup", mixup)
    with pytest.raises(TrainingError, match=f"^epoch 2, step 2: {message}") as caught:
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)
    assert "the last whole epoch is kept" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(checkpoint.load(tmp_path / "last.safetensors")[1]["history"]) == 1


def test_a_fault_that_is_not_known_stays_as_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), explained(Place(), toy_recipe(), ALONE):
        raise RuntimeError("shapes differ")


def test_a_rank_says_who_it_is() -> None:
    recipe, message = toy_recipe(optim={"accumulate": 2}), r"^rank 1, epoch 1, step 1: out of .* 4 faces of"
    with pytest.raises(RankError, match=message), explained(Place(), recipe, Rank(1, 2, 2)):
        raise MemoryError


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 4])
@pytest.mark.parametrize("faces", [2, 3, 4, 5, 8])
def test_what_is_advised_is_smaller_and_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, faces: int, accumulate: int, count: int
) -> None:
    optim = {"batch_size": faces * accumulate * count, "accumulate": accumulate}
    monkeypatch.setattr("crossfer.train.loop.this_rank", lambda: Rank(0, count, count))
    with (
        pytest.raises(TrainingError) as caught,
        explained(Place(), toy_recipe(optim=optim), Rank(0, count, count)),
    ):
        raise MemoryError
    message = str(caught.value)
    assert f"{faces} faces of 32 x 32 pixels at once" in message
    advised = re.findall(r"optim\.(accumulate|batch_size)=(\d+)", message)
    for key, value in advised:
        changed = toy_recipe(optim=optim | {key: int(value)})
        _refuse_what_does_not_fit(changed, 48, probed=False)
        assert 2 <= changed.optim.batch_size // (changed.optim.accumulate * count) <= max(2, faces // 2)
    if faces < 3:
        assert not advised
        assert (
            "start again with a smaller network or smaller images (model.width, model.image_size)" in message
        )
    else:
        assert "batch_size" in dict(advised)


def test_a_full_disk_leaves_the_last_whole_epoch(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: Progress) -> None:
        if progress.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    try:
        with pytest.raises(
            TrainingError,
            match=r"safetensors: could not be written: .*; the last whole epoch is kept: make room",
        ):
            train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path, observers=[EachStep(fill)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "last.safetensors", "log.csv"]
    assert len(checkpoint.load(tmp_path / "last.safetensors")[1]["history"]) == 1
    assert len(train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path, resume=True).history) == 3


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a, **k: whole(*a, **k) * torch.inf)
    with pytest.raises(TrainingError, match=r"^epoch 1, step 1: the gradient is not finite; "):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)


@pytest.mark.parametrize(
    ("tables", "what", "keys"),
    [
        ({"method": {"temperature": 1e-300}}, r"loss .*\(total, feature_map, batch\)", METHOD),
        ({"method": {"lambdas": [0, 1e30, 0]}}, "gradient is not finite", METHOD),
        (
            {"objective": "views", "views": {"temperature": 1e-300}, "augment": {"mixup": 0.0}},
            r"loss .*\(total, classification\)",
            "views.temperature",
        ),
        ({"model": {"init": "huge.safetensors"}}, "features of stage 1: expected finite", "model.init"),
    ],
)
def test_what_is_not_finite_before_any_weight_has_changed_is_not_laid_to_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Any], what: str, keys: str
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = network(toy_recipe().model, 3).encoder.state_dict()
    weights["conv1.weight"].fill_(1e38)
    checkpoint.save(Path("huge.safetensors"), weights, {})
    recipe = toy_recipe(**tables)
    place = r"^epoch 1, step 1: "
    with pytest.raises(
        TrainingError, match=rf"{place}.*{what}.*; {NOTHING}: look at {keys} and start again$"
    ):
        train(recipe, LABELS, toy_faces(48), toy_faces(6), Path("run"))


def break_network(run: RunState) -> None:
    run.bare.encoder.conv1.weight.data[0] = torch.inf


def break_statistics(run: RunState) -> None:
    run.bare.encoder.bn1.running_var[0] = torch.nan


def break_projection(run: RunState) -> None:
    next(run.loss.parameters()).data[0] = torch.nan


def break_average(run: RunState) -> None:
    run.averaged.module.head.bias.data[0] = torch.nan


@pytest.mark.parametrize(
    ("spoil", "loss", "what"),
    [
        (break_network, 1.0, "a weight or statistic"),
        (break_statistics, 1.0, "a weight or statistic"),
        (break_projection, 1.0, "a weight or statistic"),
        (break_average, torch.nan, "an averaged weight or statistic"),
        (lambda _: None, torch.nan, "the loss on the validation faces"),
        (lambda _: None, torch.inf, "the loss on the validation faces"),
    ],
)
def test_an_epoch_that_leaves_what_is_not_finite_overwrites_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[RunState], None],
    loss: float,
    what: str,
) -> None:
    kept: dict[str, bytes] = {}

    def judge(learn: Step, _: object) -> dict[str, float]:
        if learn.run.place.epoch == 1:
            return {"valid_accuracy": 0.5, "valid_loss": 1.0}
        kept.update({p.name: p.read_bytes() for p in tmp_path.iterdir()})
        spoil(learn.run)
        return {"valid_accuracy": 0.9, "valid_loss": loss}

    monkeypatch.setattr("crossfer.train.loop.validate", judge)
    message = (
        f"^epoch 2, validation: {what} is no longer finite; the last whole epoch is kept: lower optim.lr"
    )
    with pytest.raises(TrainingError, match=message):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)
    kept.pop(LOCK)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == kept
    assert kept.keys() == {"best.safetensors", "last.safetensors", "log.csv"}


def test_a_run_that_diverges_in_its_only_epoch_leaves_nothing(tmp_path: Path) -> None:
    optim = {"epochs": 1, "lr": 1e6, "warmup_epochs": 0.0, "clip_norm": 1e30, "schedule": "constant"}
    with pytest.raises(
        TrainingError, match=rf"^epoch 1, .* is no longer finite.*; {NOTHING}: lower optim.lr"
    ):
        train(toy_recipe(optim=optim), LABELS, toy_faces(16), toy_faces(6), tmp_path / "run")
    assert not (tmp_path / "run").exists()


OTHER_TYPE = "start again with --set optim.precision=32-true or bf16-mixed$"


@pytest.mark.parametrize(
    ("begin", "where"),
    [
        (
            2.0**5,
            r"epoch 2, step 3: .* in float16 even where it is scaled down; the last whole epoch is kept",
        ),
        (2.0**60, r"epoch 3, step 3: .* in float16 in every step; the last whole epoch is kept"),
    ],
)
def test_a_gradient_that_is_never_finite_in_float16_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: float, where: str
) -> None:
    """Three steps an epoch: the scale halves with each step that is left out."""
    monkeypatch.setattr("crossfer.train.device.HalfPrecision", scaled_from(begin))
    recipe = toy_recipe(method={"lambdas": [0, 1e30, 0]}, optim={"precision": "16-mixed"})
    for resume in (False, True):
        with pytest.raises(TrainingError, match=rf"^{where}: {OTHER_TYPE}"):
            train(recipe, LABELS, toy_faces(48), toy_faces(6), tmp_path, resume=resume)


def test_steps_left_out_in_float16_stop_no_run_that_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 2**20 whole epochs of one step are left out, and then one is learnt from."""
    monkeypatch.setattr("crossfer.train.device.HalfPrecision", scaled_from(2.0**20))
    recipe = toy_recipe(optim={"precision": "16-mixed", "epochs": 12})
    train(recipe, LABELS, toy_faces(16), toy_faces(6), tmp_path)
    assert 1 < checkpoint.load(tmp_path / "last.safetensors")[1]["scaler"]["scale"] < 2.0**19


def test_before_the_first_epoch_is_whole_nothing_is_said_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfer.train.step.mixup", lambda *_: too_much())
    with pytest.raises(TrainingError, match=rf"^epoch 1, step 1: out of memory .*; {NOTHING} \("):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)

    def full(*_: object) -> None:
        raise checkpoint.CheckpointError("no room")

    monkeypatch.undo()
    monkeypatch.setattr("crossfer.train.checkpoint.save", full)
    with pytest.raises(TrainingError, match=rf"^no room; {NOTHING}: make room"):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)


def test_validation_needs_no_more_memory_than_a_step_and_says_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def standardize(images: torch.Tensor, _: InputContract) -> torch.Tensor:
        if torch.is_grad_enabled():  # a step's
            return images
        seen.append(len(images))
        if len(seen) == 3:
            too_much()
        return images

    monkeypatch.setattr("crossfer.train.step.standardize", standardize)
    with pytest.raises(TrainingError, match=r"^epoch 1, validation: out of memory .* 8 faces of 32 x 32"):
        train(toy_recipe(optim={"accumulate": 2}), LABELS, toy_faces(48), toy_faces(24), tmp_path)
    assert seen == [8, 8, 8]


class NoRoom:
    """Stands for faces that do not fit on the device."""

    labels, targets = torch.zeros(48, dtype=torch.int64), torch.zeros(48, 3)

    def __len__(self) -> int:
        return 48

    def to(self, _: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried\nmuch")


def test_memory_that_is_short_before_the_first_step_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces: Any = NoRoom()
    with pytest.raises(
        TrainingError,
        match=r"^out of memory for the faces on the device .*Tried\); stream them .*memory_gb=0$",
    ):
        train(toy_recipe(), LABELS, faces, toy_faces(6), tmp_path)
    smaller = r"take a smaller network or smaller images \(model.width, model.image_size\)$"
    with pytest.raises(TrainingError, match=rf"^out of memory for the network \(.*\); {smaller}"):
        network(toy_recipe(model={"width": 2**24}).model, 3)
    monkeypatch.setattr("crossfer.train.state.build_optimizer", lambda *_: too_much())
    with pytest.raises(TrainingError, match=rf"^out of memory for the network \(.*\); {smaller}"):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)


def test_memory_that_is_short_for_the_images_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "empty", raising(MemoryError("Unable to allocate")))
    dataset = load_synthetic(split="train", samples=9)
    with pytest.raises(
        TrainingError, match=r"^out of memory for 9 faces of 48 x 48 pixels \(Unable .*stream"
    ):
        load_faces(dataset, InputContract(size=48), votes=False)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RankError, match=r"^rank 1, out of memory for 9 faces"):
        load_faces(dataset, InputContract(size=48), votes=False)

"""What stops a run is said in a sentence, and what was learnt stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crossfer.train import checkpoint
from crossfer.train.faults import Place, RankError, TrainingError, in_words
from crossfer.train.loop import train
from crossfer.train.ranks import ALONE, Rank
from crossfer.train.record import Progress
from support.toy_faces import LABELS, toy_faces, toy_recipe

CUDA_LOST = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"


def too_much() -> None:
    torch.empty(2**50)


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (too_much, r"out of memory with optim.batch_size = 16 .*16 faces of 32 x 32.*optim.accumulate=2"),
        (raising(torch.OutOfMemoryError("CUDA out of memory. Tried")), "out of memory .*optim.batch_size=8"),
        (raising(MemoryError()), "out of memory"),
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
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), in_words(Place(), toy_recipe(), ALONE):
        raise RuntimeError("shapes differ")


def test_a_rank_says_who_it_is() -> None:
    recipe, message = toy_recipe(optim={"accumulate": 2}), r"^rank 1, epoch 1, step 1: out of .* 4 faces of"
    with pytest.raises(RankError, match=message), in_words(Place(), recipe, Rank(1, 2, 2)):
        raise MemoryError


def test_parts_that_cannot_be_halved_again_ask_for_a_smaller_batch() -> None:
    recipe = toy_recipe(optim={"batch_size": 6, "accumulate": 3})
    with (
        pytest.raises(TrainingError, match=r"with --set optim.batch_size=3"),
        in_words(Place(), recipe, ALONE),
    ):
        raise MemoryError


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
            train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "last.safetensors", "log.csv"]
    assert len(checkpoint.load(tmp_path / "last.safetensors")[1]["history"]) == 1
    assert len(train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path, resume=True).history) == 3


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a, **k: whole(*a, **k) * torch.inf)
    with pytest.raises(TrainingError, match=r"^epoch 1, step 1: the gradient is no longer finite; "):
        train(toy_recipe(), LABELS, toy_faces(48), toy_faces(6), tmp_path)

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.source import open_dataset
from crossfer.data.synthetic import load_synthetic
from crossfer.labels import LabelSet
from crossfer.runtime.preprocess import InputContract
from crossfer.train.faults import Place, TrainingError, explained
from crossfer.train.loader import Waited, decoded_bytes, in_order, load_faces, shuffled
from crossfer.train.loop import train
from crossfer.train.ranks import ALONE
from crossfer.train.stream import stream_faces
from support.runs import assert_same_run
from support.toy_faces import toy_recipe

CONTRACT = InputContract(size=32)


def listed(read: Callable[[Sample], np.ndarray], count: int = 8) -> Dataset:
    samples = tuple(Sample(f"{i}.png", i % 2) for i in range(count))
    return Dataset("toy", "majority", LabelSet("toy", ("neutral", "happiness")), samples, read)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_memory_bit_for_bit(workers: int) -> None:
    dataset = load_synthetic(samples=40)
    memory = load_faces(dataset, CONTRACT, votes=True, limit=30)
    stream = stream_faces(dataset, CONTRACT, votes=True, limit=30, workers=workers)
    assert len(stream) == len(memory) == 30
    assert torch.equal(stream.labels, memory.labels)
    for plan in (shuffled(30, 8, 3, 5), in_order(30, 8)):
        state = torch.get_rng_state()
        batches = list(zip(stream.read(plan), memory.read(plan), strict=True))
        assert torch.equal(torch.get_rng_state(), state), "augmentation must draw as if nothing was streamed"
        assert len(batches) == len(plan)
        for ours, theirs in batches:
            assert ours[0].dtype == torch.uint8
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_real_faces_are_streamed_from_a_zip(ferplus_root: Path) -> None:
    dataset = open_dataset("ferplus", ferplus_root, split="valid")
    contract = InputContract()
    memory = load_faces(dataset, contract, votes=True, limit=64)
    stream = stream_faces(dataset, contract, votes=True, limit=64, workers=2)
    plan = shuffled(64, 16, 0, 0)
    for ours, theirs in zip(stream.read(plan), memory.read(plan), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_run_that_is_streamed_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe = toy_recipe(optim={"epochs": 2})
    learnt, held_out = load_synthetic(samples=40), load_synthetic(split="valid", samples=16)
    for name in ("memory", "stream"):
        faces = [
            load_faces(dataset, CONTRACT, votes=True)
            if name == "memory"
            else stream_faces(dataset, CONTRACT, votes=True, workers=1)
            for dataset in (learnt, held_out)
        ]
        train(recipe, learnt.labels, faces[0], faces[1], tmp_path / name)
    assert_same_run(tmp_path / "memory", tmp_path / "stream")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_in_one_line(workers: int) -> None:
    def read(sample: Sample) -> np.ndarray:
        if sample.path == "5.png":
            raise DataError("5.png: cannot be read")
        return np.zeros((8, 8, 3), np.uint8)

    stream = stream_faces(listed(read), CONTRACT, votes=False, workers=workers)
    with pytest.raises(DataError, match=r"^5\.png: cannot be read$"):
        list(stream.read(in_order(8, 2)))


@pytest.mark.parametrize(
    ("saved", "kept"),
    [(False, "no epoch was whole yet, so nothing is kept"), (True, "the last whole epoch is kept")],
)
def test_a_run_that_an_image_stops_says_how_to_go_on(saved: bool, kept: str) -> None:
    do = "restore the image and go on with --resume, or begin anew with --skip-bad"
    message = rf"^epoch 2, step 3: 5\.png: cannot be read; {kept}: {do}$"
    with pytest.raises(TrainingError, match=message), explained(Place(2, 3, saved), toy_recipe(), ALONE):
        raise DataError("5.png: cannot be read")


def test_a_worker_that_is_killed_is_named() -> None:
    def read(sample: Sample) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((8, 8, 3), np.uint8)

    stream = stream_faces(listed(read), CONTRACT, votes=False, workers=1)
    message = r"^epoch 2, step 3: a process that decodes images is gone .* fewer data.workers"
    with pytest.raises(TrainingError, match=message), explained(Place(2, 3), toy_recipe(), ALONE):
        list(stream.read(in_order(8, 2)))


def test_what_cannot_be_learnt_from_is_named_before_any_image_is_read() -> None:
    def read(sample: Sample) -> np.ndarray:
        raise AssertionError

    with pytest.raises(DataError, match=r"0\.png: no votes; use target = 'label'"):
        stream_faces(listed(read), CONTRACT, votes=True)
    with pytest.raises(DataError, match="toy: no images"):
        stream_faces(listed(read, 0), CONTRACT, votes=False)


def test_memory_is_known_before_it_is_taken() -> None:
    dataset = load_synthetic(samples=40)
    assert decoded_bytes(dataset, InputContract(size=48, color="rgb")) == 40 * 3 * 48 * 48
    assert decoded_bytes(dataset, CONTRACT, limit=10) == 10 * 32 * 32


def test_waiting_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("crossfer.train.loader.time.perf_counter", lambda: float(next(clock)))
    batches = Waited([(torch.zeros(1), torch.zeros(1))] * 3)
    assert len(list(batches)) == 3
    assert batches.seconds == 4  # the end is waited for too

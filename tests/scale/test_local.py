"""Workers that cannot start: no image is to blame for it."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crossfer.runtime import recognizer
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.centerface import DetectorError
from crossfer.scale import local, work
from crossfer.scale.entries import to_table
from crossfer.scale.faults import ScoreError
from crossfer.scale.listing import Listing
from crossfer.scale.local import score_locally
from crossfer.scale.plan import Shard
from crossfer.scale.work import Scorer, Setup
from scale.runs import draw, rows, run_here, summary


@pytest.fixture
def setup(tiny_model: Path) -> Setup:
    bundle = read_bundle(tiny_model)
    return Setup(tiny_model.read_bytes(), bundle.sha256, bundle.meta.labels, {"detector": "none"})


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    draw(tmp_path / "images", 3)
    return Shard(0, 0, to_table(list(Listing([str(tmp_path / "images")]))))


@dataclass(frozen=True)
class Deadly(Setup):
    """Ends the process that it is sent to, before that has begun."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_worker_that_dies_before_it_has_begun_stops_the_run(setup, shard, monkeypatch):
    monkeypatch.setattr(local, "TRIES_ALONE", 1)
    with pytest.raises(ScoreError, match=r"ended each time before it had begun.*--resume$"):
        list(score_locally(iter([shard]), Deadly(setup.model, setup.sha256, setup.labels), 1))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EPIPE])
def test_a_pool_that_cannot_be_set_up_is_one_sentence(setup, shard, monkeypatch, number):
    """As where semaphores have no place, or what tracks them cannot start."""
    monkeypatch.setattr(local, "ProcessPoolExecutor", failing(OSError(number, os.strerror(number))))
    monkeypatch.setattr(local, "_SEMAPHORES", ", and a writable /dev/shm with room in it")
    told = f"it cannot start: {os.strerror(number)}; give it .*a writable /dev/shm.*; no image is to blame"
    with pytest.raises(ScoreError, match=told):
        list(score_locally(iter([shard]), setup, 1))


def test_the_machine_is_named_where_there_is_no_uname(monkeypatch):
    monkeypatch.delattr(os, "uname")
    assert f"expected a process to work on {platform.node()}, found" in str(work.not_started("it ended"))


def test_what_a_worker_says_that_cannot_start_is_said(setup, shard, capfd):
    with pytest.raises(ScoreError, match=r"expected crossfer 0\.0 on every machine"):
        list(score_locally(iter([shard]), replace(setup, version="0.0"), 1))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "error", [MemoryError("too little"), ValueError("no"), TypeError("a defect of ours")]
)
def test_what_the_detector_meets_in_an_image_is_its_row(setup, shard, monkeypatch, error):
    scorer = Scorer(setup)
    monkeypatch.setattr(work.Recognizer, "find", failing(error))
    assert scorer.score(shard).tally.errors == {"recognising": 3}


def test_a_detector_that_cannot_be_loaded_is_one_sentence_and_no_row(setup, monkeypatch):
    monkeypatch.setattr(recognizer, "CenterFace", failing(DetectorError("expected the weights, found none")))
    with pytest.raises(ScoreError, match=r"expected the weights, found none.* no image is to blame"):
        Scorer(replace(setup, settings={}))


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_no_memory_for_the_model_is_one_sentence(setup, shard, tmp_path, tiny_model, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    output, asked = tmp_path / "out", ["--model", tiny_model, "--detector", "none"]
    with monkeypatch.context() as patch:
        patch.setattr(work, "Recognizer", full)
        with pytest.raises(ScoreError, match="cannot load the model or the detector: Cannot allocate memory"):
            Scorer(setup)
        message = run_here(tmp_path / "images", "-o", output, *asked, code=1).stderr
        assert "Cannot allocate memory" in message
        assert "no image is to blame" in message
        assert not list((output / "faces").iterdir())
    run_here(tmp_path / "images", "-o", output, *asked, "--resume")
    assert rows(output)["cause"].to_pylist() == [None] * 3
    assert summary(output)["complete"]

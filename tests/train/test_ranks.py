"""Two processes that train together do what one does with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from crossfer.method import kmeans
from crossfer.runtime.recognizer import Recognizer
from crossfer.train import checkpoint
from crossfer.train.export import export
from crossfer.train.faults import TrainingError
from crossfer.train.loader import in_order, shuffled
from crossfer.train.loop import train
from crossfer.train.ranks import ALONE, Rank, seed_of, this_rank
from support.runs import assert_same_run
from support.toy_faces import LABELS, toy_faces, toy_recipe
from support.two_ranks import RECIPES, first_points, gradients

TESTS = Path(__file__).parents[1]
SMOKE = TESTS.parent / "recipes" / "smoke.toml"
TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
CROSSFER = ("-m", "crossfer")
TINY = ("--set", "data.samples=64", "--set", "optim.epochs=2", "--set", "optim.batch_size=16")


def start(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
    )


def test_two_ranks_give_the_gradients_of_one_with_the_whole_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = start(*TWO, "-m", "support.two_ranks", tmp_path, *RECIPES)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(kmeans, "plus_plus", first_points)
    for name, tables in RECIPES.items():
        whole = gradients(tables)
        assert any(weight.startswith("loss.project") for weight in whole)
        assert float(whole["terms"][2:].abs().min()) > 1e-3
        for rank in (0, 1):
            found = load_file(tmp_path / f"{name}-{rank}.safetensors")
            assert found.keys() == whole.keys()
            for weight, expected in whole.items():
                torch.testing.assert_close(found[weight], expected, rtol=1e-5, atol=1e-12)


def test_every_rank_has_draws_of_its_own_and_the_first_those_of_the_seed() -> None:
    draws = {
        tuple(torch.rand(3, generator=torch.Generator().manual_seed(seed_of(1_000_003, rank))).tolist())
        for rank in range(64)
    }
    assert len(draws) == 64
    assert seed_of(1_000_003, 0) == 1_000_003


def test_a_run_of_two_ranks_writes_once_speaks_once_and_can_be_exported(tmp_path: Path) -> None:
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    done = start(*TWO, *CROSSFER, "train", SMOKE, "-o", run, *TINY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation accuracy") == 1
    assert done.stderr.count("epoch 2/2") == 1
    assert "Warning" not in done.stderr
    assert sorted(p.name for p in run.iterdir()) == ["best.safetensors", "last.safetensors", "log.csv"]
    meta = checkpoint.load(run / "last.safetensors")[1]
    assert (meta["ranks"], meta["precision"], len(meta["history"])) == (2, "32-true", 2)
    export(run, model)
    assert Recognizer(model, detector="none").meta.name == "smoke"


def test_ranks_stop_alike_where_what_they_learnt_is_not_finite(tmp_path: Path) -> None:
    wild = ("optim.lr=1000000", "optim.warmup_epochs=0", "optim.schedule=constant")
    changes = [part for change in wild for part in ("--set", change)]
    done = start(*TWO, *CROSSFER, "train", SMOKE, "-o", tmp_path / "run", *TINY, *changes)
    assert done.returncode == 1
    assert done.stderr.count("is no longer finite") == 1
    assert "epoch 1, validation: " in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the threads")
def test_no_thread_of_the_ranks_outlives_python(tmp_path: Path) -> None:
    done = start(*TWO, "-m", "support.two_ranks_at_exit", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0 of gloo's threads"] * 2


def test_what_all_ranks_refuse_rank_0_alone_says(tmp_path: Path) -> None:
    told = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = (sys.executable, *CROSSFER, "train", SMOKE, "-o", tmp_path / "run", *TINY)
    done = start(*command, "--set", "optim.batch_size=9", **told)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("size", "images", "message"),
    [
        (9, 48, "optim.batch_size = 9: expected a multiple of 2, for 2 ranks and optim.accumulate = 1"),
        (16, 3, "at least 2 training faces for each of 2 ranks, found 3"),
    ],
)
def test_what_ranks_cannot_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, images: int, message: str
) -> None:
    monkeypatch.setattr("crossfer.train.loop.this_rank", lambda: Rank(0, 2, 2))
    recipe = toy_recipe(optim={"batch_size": size})
    with pytest.raises(TrainingError, match=message):
        train(recipe, LABELS, toy_faces(images), toy_faces(3), tmp_path / "run")


@pytest.mark.long
def test_two_ranks_stopped_and_resumed_end_with_the_same_weights(tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        done = start(*TWO, "-m", "support.two_ranks_stopped", tmp_path / name, name)
        assert (done.returncode == 0) == (name == "whole"), done.stderr
    done = start(*TWO, "-m", "support.two_ranks_stopped", tmp_path / "stopped", "resumed")
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_rank_is_what_torchrun_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "3")
    assert this_rank() == ALONE
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert this_rank() == Rank(3, 8, 4)


def test_shares_are_the_parts_of_a_batch_in_their_order() -> None:
    whole = shuffled(29, 8, 1, 2)
    parts = [shuffled(29, 8, 1, 2, Rank(number, 4)) for number in range(4)]
    for batch, shares in zip(whole, zip(*parts, strict=True), strict=True):
        assert [len(share) for share in shares] == [2] * 4
        assert torch.equal(torch.cat(shares), batch)
    assert [len(rows) for rows in shuffled(7, 64, 0, 0, Rank(1, 2))] == [3]
    dealt = [torch.cat(in_order(29, 3, Rank(number, 4))).tolist() for number in range(4)]
    assert sorted(row for rows in dealt for row in rows) == list(range(29))

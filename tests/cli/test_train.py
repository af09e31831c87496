"""``crossfer train`` and ``crossfer export`` as a user runs them."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossfer.runtime.recognizer import Recognizer
from support.command import crossfer

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = ["--set", "data.samples=64", "--set", "optim.epochs=3", "--set", "optim.batch_size=16"]


def test_the_smoke_recipe_learns_drawn_faces_and_exports_a_model_that_answers(tmp_path: Path) -> None:
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    trained = crossfer("train", RECIPES / "smoke.toml", "-o", run)
    assert trained.returncode == 0, trained.stderr
    assert "validation accuracy" in trained.stdout
    with (run / "log.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == 18
    assert max(float(row["valid_accuracy"]) for row in history) > 0.9
    assert all(float(row[term]) > 0 for row in history for term in ("classification", "feature_map", "batch"))
    exported = crossfer("export", run, "-o", model)
    assert exported.returncode == 0, exported.stderr
    assert Recognizer(model, detector="none").meta.name == "smoke"


def test_a_run_says_by_what_its_epoch_was_chosen(tmp_path: Path) -> None:
    chosen = ("--set", "best_by=mean_class_accuracy", "--set", "balance=0.5")
    done = crossfer("train", RECIPES / "smoke.toml", "-o", tmp_path / "run", *TINY, *chosen)
    assert done.returncode == 0, done.stderr
    assert re.search(r"validation accuracy [\d.]+ %, mean over the classes [\d.]+ %$", done.stdout.strip())


def test_a_run_without_labels_says_what_it_counts_and_another_starts_from_it(tmp_path: Path) -> None:
    views, run = tmp_path / "views", tmp_path / "run"
    without = ("--set", "objective=views", "--set", "augment.mixup=0")
    learnt = crossfer("train", RECIPES / "smoke.toml", "-o", views, *TINY, *without)
    assert learnt.returncode == 0, learnt.stderr
    assert "other views found among validation faces" in learnt.stdout
    assert "(views " in learnt.stderr
    assert "found " in learnt.stderr
    trained = crossfer("train", RECIPES / "smoke.toml", "-o", run, *TINY, "--set", f"model.init={views}")
    assert trained.returncode == 0, trained.stderr
    assert "starts from the network of smoke; its head new" in trained.stderr
    refused = crossfer("export", views, "-o", tmp_path / "model.onnx")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "knows no expressions" in refused.stderr


def test_an_interrupted_run_resumes_and_a_second_start_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    started = subprocess.Popen(
        [sys.executable, "-m", "crossfer", "train", str(RECIPES / "smoke.toml"), "-o", str(run), *TINY],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (run / "last.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGINT)
    _, stderr = started.communicate(timeout=60)
    if started.returncode:  # it may have finished between the look and the signal
        assert started.returncode == 130
        assert "--resume" in stderr
        assert "Traceback" not in stderr
    again = crossfer("train", RECIPES / "smoke.toml", "-o", run, *TINY)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    resumed = crossfer("train", RECIPES / "smoke.toml", "-o", run, *TINY, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert len((run / "log.csv").read_text().splitlines()) == 4


def test_a_finished_run_whose_chosen_weights_are_gone_says_so(run, tmp_path: Path) -> None:
    short = ("train", RECIPES / "smoke.toml", "-o", tmp_path, *TINY, "--set", "optim.epochs=1")
    assert run(*short) == 0
    best = tmp_path / "best.safetensors"
    best.unlink()
    assert str(run(*short, "--resume")).startswith(
        f"crossfer: {best}: expected the chosen weights of epoch 1, found nothing; put them back"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "optim.learning_rate=1"], "unknown key 'optim.learning_rate'; allowed there: accumulate"),
        (["--set", "optim.lr=-1"], "optim.lr = -1: Input should be greater than 0"),
        (["--set", "data.name=ferplus"], "add --root DIR"),
        (["--set", "data.name=ferplus", "--root", "nowhere"], "'nowhere'"),
        (["--set", "model.image_size=50"], "multiple of 16"),
        (["--set", "optim.accumulate=5"], "accumulate must cut batch_size 32 into equal parts"),
    ],
)
def test_a_bad_recipe_stops_before_any_training(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = crossfer("train", RECIPES / "smoke.toml", "-o", tmp_path / "run", *arguments)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_recipe_is_one_line() -> None:
    done = crossfer("train", "nowhere.toml")
    assert done.returncode == 1
    assert done.stderr.strip() == "crossfer: nowhere.toml: no such recipe"


def test_a_streamed_run_shows_how_it_reads_and_writes_event_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = [
        "--set",
        "data.memory_gb=0",
        "--set",
        "data.workers=1",
        "--set",
        "optim.epochs=1",
        "--tensorboard",
    ]
    done = crossfer("train", RECIPES / "smoke.toml", "-o", run, *TINY, *options)
    assert done.returncode == 0, done.stderr
    assert "train: 64 faces (synthetic, drawn), streamed by 1 processes" in done.stderr
    assert "% waiting for data" in done.stderr
    assert [p.name for p in run.iterdir() if p.name.startswith("events.out.tfevents.")]


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the data set is opened."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the data is read")

    monkeypatch.setattr("crossfer.train.run.open_split", opened)


@pytest.mark.parametrize(("command", "option"), [("train", "--output"), ("intensity", "--results")])
@pytest.mark.usefixtures("no_data")
def test_what_cannot_be_written_or_is_not_there_is_refused_before_the_data_is_read(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, option: str
) -> None:
    (tmp_path / "file").touch()
    message = run(command, RECIPES / "smoke.toml", option, tmp_path / "file" / "a" / "b")
    assert f"{option} {tmp_path / 'file' / 'a' / 'b'}: cannot be written (Not a directory)" in str(message)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cuda = ("--set", "optim.device=cuda")
    message = run(command, RECIPES / "smoke.toml", option, tmp_path / "a", *cuda)
    assert "optim.device = 'cuda', but torch finds no CUDA device" in str(message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_rank_says_what_befell_it_before_the_first_step(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    options = ("-o", tmp_path / "run", "--set", "data.name=ferplus", "--root", tmp_path / "gone")
    message = str(run("train", RECIPES / "smoke.toml", *options))
    assert message.startswith(f"crossfer: rank 1: data.root = '{tmp_path}/gone': expected FERPlus")
    assert waited == [5]


def test_stopped_before_an_epoch_is_whole_nothing_is_promised(
    run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfer.train.run.open_split", stop)
    assert run("train", RECIPES / "smoke.toml", "-o", tmp_path / "run") == 130
    assert capsys.readouterr().err == "stopped; no epoch was whole yet, so nothing is kept\n"

"""Killed and resumed as often as you like, a run ends with the rows of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from scale.runs import children, draw, kill_at_random, rows, run, shards_done, start, summary, wait_for_shards

# Comes first in every process of a run: a system without masks of signals, which does not tell of memory.
LACKING = """
import signal, sys
sys.modules["resource"] = None
del signal.pthread_sigmask
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "images"
    paths = draw(folder, 900)
    paths[3].write_bytes(b"junk")
    paths[700].write_bytes(paths[700].read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def options(tiny_model: Path) -> list[object]:
    return ["--model", tiny_model, "--detector", "none", "--workers", 2, "--shard-size", 16, "--resume"]


@pytest.fixture(scope="module")
def undisturbed(images: Path, options: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(images, "-o", output, *options)
    return output


def killed_and_resumed(images: Path, output: Path, options: list[object], kills: list[bool]) -> None:
    """A run of which the driver (True) or a worker (False) is killed, in turn, and that is then ended."""
    rng = random.Random(len(kills))
    running = start(images, "-o", output, *options)
    for driver in kills:
        kill_at_random(running, output, rng, driver=driver)
        if running.poll() is not None:
            running = start(images, "-o", output, *options)
    _, errors = running.communicate(timeout=500)
    assert running.returncode == 0, errors


def check_same(output: Path, undisturbed: Path) -> None:
    assert rows(output).equals(rows(undisturbed))
    entries = rows(output)["entry"].to_pylist()
    assert entries == list(range(900))
    names = ("images", "faces", "rows", "errors", "expressions", "faces_an_image", "plan", "confidence")
    assert {n: summary(output)[n] for n in names} == {n: summary(undisturbed)[n] for n in names}
    assert not list((output / "faces").glob(".*"))


def test_a_run_whose_driver_and_worker_are_killed_ends_with_the_same_rows(
    images, options, undisturbed, tmp_path
):
    killed_and_resumed(images, tmp_path / "out", options, [True, False])
    check_same(tmp_path / "out", undisturbed)


@pytest.mark.long
def test_twenty_kills(images, options, undisturbed, tmp_path):
    for first in (True, False):
        output = tmp_path / f"out-{first}"
        killed_and_resumed(images, output, options, [first, not first] * 5)
        check_same(output, undisturbed)


def test_a_killed_run_leaves_no_process_behind(images, options, tmp_path):
    running = start(images, "-o", tmp_path / "out", *options)
    wait_for_shards(running, tmp_path / "out", 1)
    workers = children(running.pid)
    assert len(workers) == 2
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    for _ in range(500):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        signal.sigtimedwait([], 0.02)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(images, options, tmp_path):
    output = tmp_path / "out"
    running = start(images, "-o", output, *options)
    wait_for_shards(running, output, 2)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "--resume" in errors
    assert len(errors.splitlines()) == 1
    assert 2 <= summary(output)["shards"] == shards_done(output) < summary(output)["plan"]["shards"]
    assert not summary(output)["complete"]


def test_a_system_that_lacks_what_windows_lacks_will_do(images, options, undisturbed, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(LACKING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    output = tmp_path / "out"
    running = start(images, "-o", output, *options, "--workers", 1)
    wait_for_shards(running, output, 1)
    for worker in children(running.pid):
        os.kill(worker, signal.SIGINT)
    wait_for_shards(running, output, 4)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert len(errors.splitlines()) == 1, errors
    run(images, "-o", output, *options, "--resume", "--report")
    check_same(output, undisturbed)
    assert summary(output)["worker_peak_bytes"] is None
    assert summary(undisturbed)["worker_peak_bytes"] > 0
    assert "a worker held" not in (output / "report.html").read_text()

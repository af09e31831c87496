"""``crossfer bench`` as users run it: one quick run for all, and what it makes of bad input."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from crossfer import cli
from crossfer.bench import run
from crossfer.bench.run import ANSWER, DECODING, DETECTOR, FACES, PLAIN, PREDICT, VERSION
from crossfer.bench.timing import LEAST_ROUNDS


@pytest.fixture(scope="module")
def quick(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """Values and messages of a quick run, in an empty folder that stays so."""
    folder = tmp_path_factory.mktemp("quick")
    words = ["bench", "--quick", "--threads", "2", "--model", str(tiny_model)]
    command = [sys.executable, "-P", "-m", "crossfer", *words, "--format", "json"]
    environment = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    assert list(folder.iterdir()) == []
    return json.loads(done.stdout), done.stderr


def rows(quick: tuple[dict, str], section: str) -> list[dict]:
    return quick[0]["measured"][section]["rows"]


def test_faces_by_batch_and_threads(quick):
    found = rows(quick, "faces")
    cases = {(row["what"], row["model"], row["threads"], row["batch"]) for row in found}
    assert cases == {(FACES, "tiny.onnx", t, b) for t in (1, 2) for b in (1, 64)}
    assert all(row["median"] > 0 and len(row["samples"]) >= LEAST_ROUNDS for row in found)


def test_batches_and_threads_are_compared_with_one(quick):
    for row in rows(quick, "faces"):
        assert ("to_batch_1" in row) == (row["batch"] == 64)
        assert ("to_one_thread" in row) == (row["threads"] == 2)
        for ratio in (row[name] for name in row if name.startswith("to_")):
            assert ratio["low"] <= ratio["median"] <= ratio["high"]


def test_photos_at_both_sizes_with_their_parts(quick):
    whats = [(row["what"], tuple(row["size"])) for row in rows(quick, "photo")]
    for size in ((640, 480), (1920, 1440)):
        counts = [whats.count((what, size)) for what in (DECODING, DETECTOR, ANSWER)]
        assert counts == [1, 2, 2]


def test_fresh_processes_and_their_memory(quick):
    assert [row["what"] for row in rows(quick, "start")] == [PLAIN, VERSION, PREDICT]
    peaks = rows(quick, "memory")
    assert [row["what"] for row in peaks] == [PLAIN, VERSION, FACES, FACES, PREDICT, PREDICT]
    plain, version, *working = (row["median"] for row in peaks)
    assert plain < version < min(working), "MB: Python, with Typer, with ONNX Runtime and a model"
    assert working[0] > 10


def test_the_machine_is_stated_and_progress_goes_to_stderr(quick):
    values, messages = quick
    machine = values["machine"]
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert {"onnxruntime", "numpy", "pillow"} <= set(machine["packages"])
    assert messages.splitlines() == [
        f"crossfer: measuring {section}" for section in ("faces", "photo", "start", "memory")
    ]


class Refused:
    """Runs the command in this process; it must stop before anything is measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "in_turn", None)

    def __call__(self, *words: object) -> str:
        result = CliRunner().invoke(cli.app, ["bench", *map(str, words)], env={"COLUMNS": "200"})
        assert result.exit_code != 0
        assert isinstance(result.exception, SystemExit | ValueError | OSError), result.exception
        return f"{result.stderr}{result.exception}"


@pytest.fixture
def refused(monkeypatch) -> Refused:
    return Refused(monkeypatch)


def test_bad_input_is_one_sentence_before_any_work(refused, tmp_path):
    Image.new("RGB", (200, 200), "gray").save(tmp_path / "wall.png")
    (tmp_path / "notes.jpg").write_text("no image")
    assert "embedded models (base" in refused("--model", "nosuch")
    assert "no such model file" in refused("--model", tmp_path / "none.onnx")
    assert "wall.png: expected a photo with a face, found none" in refused(tmp_path / "wall.png")
    assert "notes.jpg: expected a JPEG" in refused(tmp_path / "notes.jpg")
    assert "no such file" in refused(tmp_path / "none.jpg")
    assert "found a directory" in refused(tmp_path)
    assert "greater than or equal to 1" in refused("--threads", 0)
    assert "no folder" in refused("-o", tmp_path / "none" / "out.txt")
    assert "is read here and would be lost" in refused(tmp_path / "wall.png", "-o", tmp_path / "wall.png")


def test_ctrl_c_ends_it_quietly_and_leaves_nothing(tiny_model, tmp_path):
    words = ["bench", "--model", str(tiny_model), "-o", str(tmp_path / "out.txt")]
    command = [sys.executable, "-P", "-m", "crossfer", *words]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "crossfer: measuring faces\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_gets_a_bar(tiny_model):
    main, side = pty.openpty()
    command = [sys.executable, "-P", "-m", "crossfer", "bench", "--model", str(tiny_model)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=side)
    os.close(side)
    seen, said = b"", b""
    with suppress(OSError):  # no more to read: the other end is closed
        while said := os.read(main, 4096):
            if b"measuring faces" not in seen and b"measuring faces" in seen + said:
                process.send_signal(signal.SIGINT)
            seen += said
    os.close(main)
    assert process.wait() == 130
    assert b"measuring faces" in seen
    assert b"Traceback" not in seen

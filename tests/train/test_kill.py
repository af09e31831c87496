"""A run that is killed, whenever that is, and resumed ends with the weights of one that never was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.runs import assert_same_run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

COMMON = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import torch
from support.toy_faces import LABELS, toy_faces, toy_recipe
from crossfer.train import checkpoint
from crossfer.train.loop import train

torch.set_num_threads(1)
folder = Path(sys.argv[1])
last = folder / "last.safetensors"

def go():
    train(toy_recipe(), LABELS, toy_faces(48), toy_faces(24, seed=1), folder, resume=True)

def start(prepare=lambda: None):
    child = os.fork()
    if not child:
        prepare()
        go()
        os._exit(0)
    return child
"""

AT_RANDOM = (
    COMMON
    + """
moments, kills = random.Random(int(sys.argv[3])), 0
for _ in range(10 * int(sys.argv[2])):
    before = last.stat().st_mtime_ns if last.exists() else 0
    child = start()
    while not last.exists() or last.stat().st_mtime_ns == before:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if len(checkpoint.load(last)[1]["history"]) == 3:
        shutil.rmtree(folder)  # too late, all was done: begin again
        continue
    kills += 1
    if kills == int(sys.argv[2]):
        break
    if kills % 2 == 0:
        shutil.rmtree(folder)  # an epoch a kill is all there is to lose
go()
print(kills)
"""
)

# A file is written, brought to disk and renamed; each epoch that is the best so far writes two.
WHILE_WRITING = (
    COMMON
    + """
def killed_at(call, number):
    def prepare():
        whole, calls = os.fsync, [0]

        def fatal(file):
            calls[0] += 1
            if calls[0] == number:
                if call == "write":  # half of the file is there
                    os.ftruncate(file, os.fstat(file).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(file)

        os.fsync = fatal

    return prepare

kills = 0
for call, number in (("write", 1), ("write", 2), ("fsync", 1), ("fsync", 2), ("write", 2)):
    _, status = os.waitpid(start(killed_at(call, number)), 0)
    kills += os.WIFSIGNALED(status)
go()
print(kills)
"""
)


def killed(script: str, folder: Path, *arguments: int) -> str:
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_twice_at_random(whole: Path, tmp_path: Path) -> None:
    assert killed(AT_RANDOM, tmp_path / "run", 2, 0) == "2\n"
    assert_same_run(whole, tmp_path / "run")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_killed_twelve_times_at_random(whole: Path, tmp_path: Path, seed: int) -> None:
    assert killed(AT_RANDOM, tmp_path / "run", 12, seed) == "12\n"
    assert_same_run(whole, tmp_path / "run")


def test_killed_while_a_checkpoint_is_written(whole: Path, tmp_path: Path) -> None:
    assert killed(WHILE_WRITING, tmp_path / "run") == "5\n"
    assert_same_run(whole, tmp_path / "run")
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]

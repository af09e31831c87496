"""Runs of ``crossfer score`` as a user starts them, and what they wrote."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import read_table

from crossfer import cli
from crossfer.scale import run as run_module
from crossfer.scale.plan import Shard
from crossfer.scale.work import Scored, Scorer, Setup


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "crossfer", "score", *map(str, arguments)]


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs ``crossfer score`` to its end."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def run_here(*arguments: object, code: int = 0) -> Any:
    """The same without processes: the command in this one, and the work too; for what needs no pool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "_engine", lambda _: (_score_here, 1))
        patch.setattr(sys, "argv", ["crossfer", "score", *map(str, arguments)])
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                cli.main()
            except SystemExit as stopped:
                ended = stopped.code
    if isinstance(ended, str):  # a sentence, which Python prints itself
        err.write(ended)
        ended = 1
    assert (ended or 0) == code, err.getvalue()
    return subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())


def _score_here(shards: Iterator[Shard], setup: Setup, workers: int) -> Iterator[Scored]:
    with closing(Scorer(setup)) as scorer:
        for shard in shards:
            yield scorer.score(shard)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Starts ``crossfer score`` in a process group of its own."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*arguments), stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def shards_done(output: Path) -> int:
    """Whole lines of shards in the manifest."""
    path = output / "manifest.jsonl"
    return path.read_bytes().count(b'"shard":') if path.exists() else 0


def wait_for_shards(running: subprocess.Popen[str], output: Path, count: int) -> None:
    """Returns when so many shards are done, or the process has ended."""
    deadline = time.monotonic() + 240
    while running.poll() is None and shards_done(output) < count:
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.005)


def children(pid: int) -> list[int]:
    """The worker processes of a run, by what Linux says of it."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in listed.read_text().split()] if listed.exists() else []
    return [child for child in found if "spawn_main" in _command_line(child)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill_at_random(running: subprocess.Popen[str], output: Path, rng: random.Random, *, driver: bool) -> None:
    """SIGKILL to a run, or to one of its workers, at a moment that the dice choose."""
    wait_for_shards(running, output, shards_done(output) + rng.randint(1, 4))
    time.sleep(rng.random() * 0.05)
    if running.poll() is not None:
        return
    if driver:
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
    elif workers := children(running.pid):
        os.kill(rng.choice(workers), signal.SIGKILL)


def rows(output: Path) -> pa.Table:
    """Every row in the order of parts; reading them shows that each part is whole."""
    return pa.concat_tables(read_table(part) for part in sorted((output / "faces").glob("*.parquet")))


def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "summary.json").read_text())


def draw(folder: Path, count: int, *, size: int = 48, seed: int = 0, suffix: str = ".png") -> list[Path]:
    """So many different images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"{number:05}{suffix}" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(path)
    return paths

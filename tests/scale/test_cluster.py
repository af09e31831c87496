"""Ray gives the rows that the pool of processes gives: on one machine, and on a cluster of two nodes.

Ray runs in processes of its own, since it warns of itself, and is shut down at the end of each test.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scale.runs import draw, rows, run, start, summary, wait_for_shards

CLUSTER = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
cluster.add_node(**node)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "images"
    draw(folder, 200)
    (folder / "junk.png").write_bytes(b"junk")
    return folder


@pytest.fixture(scope="module")
def options(tiny_model: Path) -> list[object]:
    return ["--model", tiny_model, "--detector", "none", "--shard-size", 16]


@pytest.fixture(scope="module")
def expected(images: Path, options: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "local"
    run(images, "-o", output, *options, "--workers", 1)
    return output


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes, a core each, both on this machine."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        yield next(line.strip() for line in running.stdout if ":" in line)
        running.communicate("")


def test_ray_gives_the_same_rows(images, options, expected, tmp_path):
    done = run(images, "-o", tmp_path / "out", *options, "--engine", "ray", "--workers", 1)
    assert all(line.startswith("crossfer: ") for line in done.stderr.splitlines())
    assert rows(tmp_path / "out").equals(rows(expected))
    assert summary(tmp_path / "out")["stints"][0]["engine"] == "ray"


@pytest.mark.long
def test_two_nodes_share_the_work_and_survive_the_death_of_an_actor(
    images, options, expected, tmp_path, cluster
):
    running = start(images, "-o", tmp_path / "out", *options, "--address", cluster)
    wait_for_shards(running, tmp_path / "out", 1)
    actors = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_actor(pid)]
    assert len(actors) == 2
    os.kill(random.Random(0).choice(actors), signal.SIGKILL)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert rows(tmp_path / "out").equals(rows(expected))
    assert summary(tmp_path / "out")["stints"][0]["workers"] == 2


def _is_actor(pid: int) -> bool:
    try:
        return b"ray::MapWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.long
def test_a_killed_ray_run_is_resumed_by_either_engine(images, options, expected, tmp_path):
    asked = [images, "-o", tmp_path / "out", *options, "--workers", 1]
    running = start(*asked, "--engine", "ray")
    wait_for_shards(running, tmp_path / "out", 2)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    run(*asked, "--resume")
    assert rows(tmp_path / "out").equals(rows(expected))


NO_NODE = """
import ray
def init(*_, **__):
    raise Exception("The current node timed out during startup")
ray.init = init
from crossfer.scale.cluster import connect
from crossfer.scale.faults import ScoreError
try:
    connect(None, 1, 1)
except ScoreError as error:
    print(error)
"""


def test_a_node_that_does_not_start_is_one_sentence():
    done = subprocess.run([sys.executable, "-c", NO_NODE], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "Ray cannot be started here (The current node timed out during startup); use the engine local\n"
    )


def test_no_cluster_at_the_address_is_one_sentence(images, options, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = run(images, "-o", tmp_path / "out", *options, "--address", address, code=1)
    assert "expected a Ray cluster there" in done.stderr

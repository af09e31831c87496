"""The engine of several machines: Ray Data, with an actor a core that holds a recogniser.

Shards go out and parts come back through Ray's object store, a file of the plan at a time, so that what is in
memory stays the same however long the plan is. Only this process writes the output; the machines of a cluster
need to reach the input, and to have the same version of crossfer.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from crossfer.runtime.bundle import BundleError
from crossfer.scale.faults import InputGoneError, ScoreError
from crossfer.scale.plan import SHARDS_A_FILE, Shard
from crossfer.scale.work import Engine, Scored, Scorer, Setup

STORE_BYTES = 256 << 20  # of the object store that is started here; a shard and a part are some 100 kB each
NO_PROGRESS = 3600.0  # seconds without any part before Ray gives up, as when an image ends each actor
AHEAD = 2  # shards that each actor has, the one at work included


def connect(address: str | None, workers: int | None, here: int) -> tuple[Engine, int]:
    """Joins a cluster, or starts one on this machine.

    Args:
        address: of the cluster; None to start one.
        workers: actors; None for one a core.
        here: cores of this machine.

    Returns:
        The engine, and how many actors it will have.

    Raises:
        ScoreError: if there is no cluster at the address, or Ray cannot be started.
    """
    local: dict[str, Any] = {}
    if address is None:
        local = {
            "num_cpus": workers or here,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        with _silence():
            ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **local)
    except Exception as error:  # a node that does not start in time is no more than that
        why = " ".join(str(error).split())[:200]
        raise ScoreError(
            f"{address}: expected a Ray cluster there ({why}); start one with: ray start --head"
            if address
            else f"Ray cannot be started here ({why}); use the engine local"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = context.enable_auto_log_stats = False
    context.execution_no_progress_timeout_s = NO_PROGRESS
    context.target_max_block_size = 1  # each part comes back when it is done, not with others
    return score_on_ray, workers or int(ray.cluster_resources().get("CPU", 1))


@contextmanager
def _silence() -> Iterator[None]:
    """Ray's native code tells standard error how it will log; what goes wrong is raised."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def score_on_ray(shards: Iterator[Shard], setup: Setup, workers: int) -> Generator[Scored]:
    """What comes of each shard, as it is done; Ray is shut down at the end.

    A shard whose actor dies is done again by another.

    Args:
        shards: what to do; taken a file of the plan at a time.
        setup: how.
        workers: actors.

    Raises:
        InputGoneError: as ``Scorer.score`` does.
        ScoreError: if actors keep dying, or Ray fails otherwise.
    """
    try:
        shared = ray.put(setup)
        while batch := list(islice(shards, SHARDS_A_FILE)):
            yield from _through([_to_table(shard) for shard in batch], shared, workers)
    except RayError as error:
        raise ScoreError(
            f"Ray gave up ({' '.join(str(error).split())[:300]}); what is done stays as it is; "
            "if an image ends its process each time, --engine local --resume finds it and goes on"
        ) from error
    finally:
        ray.shutdown()


def _through(tables: list[pa.Table], setup: Any, workers: int) -> Iterator[Scored]:
    results = ray.data.from_arrow(tables).map_batches(
        _Actor,
        batch_size=None,  # a block, that is a shard
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(workers, len(tables)), max_tasks_in_flight_per_actor=AHEAD),
        fn_constructor_args=([setup],),  # in a list, so that Ray hands on the reference and not a copy
        num_cpus=1,
    )
    for row in results.iter_rows():
        if row["stopped"] is not None:
            raise (InputGoneError if row["gone"] else ScoreError)(row["stopped"])
        yield Scored.from_dict(json.loads(row["record"]), row["part"])


def _to_table(shard: Shard) -> pa.Table:
    """A shard as a table that carries its number and the like along."""
    place = {"number": shard.number, "first": shard.first, "copies": shard.copies}
    return shard.entries.append_column("shard", pa.array([json.dumps(place)] * len(shard)))


def _from_table(table: pa.Table) -> Shard:
    place = json.loads(table["shard"][0].as_py())
    copies = tuple((entry, original) for entry, original in place["copies"])
    return Shard(place["number"], place["first"], table.drop_columns("shard"), copies)


class _Actor:
    """Holds a recogniser; what must stop the run comes back as a row, since exceptions change on the way."""

    def __init__(self, setup: list[Any]) -> None:
        self._setup: Setup = ray.get(setup[0])
        self._scorer: Scorer | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        row: dict[str, Any] = {"part": b"", "record": "", "stopped": None, "gone": False}
        try:
            self._scorer = self._scorer or Scorer(self._setup)
            scored = self._scorer.score(_from_table(batch))
            row |= {"part": scored.part, "record": json.dumps(scored.to_dict())}
        except (ScoreError, BundleError) as error:
            row |= {"stopped": str(error), "gone": isinstance(error, InputGoneError)}
        return pa.Table.from_pylist([row], _RESULT)


_RESULT = pa.schema(
    [("part", pa.large_binary()), ("record", pa.string()), ("stopped", pa.string()), ("gone", pa.bool_())]
)

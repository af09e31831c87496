"""The engine of one machine: a pool of processes from the standard library, a core each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import islice
from multiprocessing.connection import Connection
from typing import TypeVar

from crossfer.scale.plan import Shard
from crossfer.scale.storage import reason
from crossfer.scale.work import Scored, Scorer, Setup, crashed, joined, not_started

AHEAD = 2  # shards that each process has, the one at work included: bounds what is in memory
TRIES_ALONE = 2
# Where the semaphores of a pool lie.
_SEMAPHORES = ", and a writable /dev/shm with room in it" if sys.platform == "linux" else ""

Answer = TypeVar("Answer")

_setups: list[Setup] = []  # one in a worker process, which has no other place to keep it


def score_locally(shards: Iterator[Shard], setup: Setup, workers: int) -> Generator[Scored]:
    """What comes of each shard, as it is done.

    Shards whose worker dies are done again, each by a process of its own; if that dies too, the image at
    fault is found by halving, and gets a row that says so. Where a process dies before it has begun, no image
    is at fault, and the run stops.

    Args:
        shards: what to do; taken as workers become free.
        setup: how.
        workers: processes.

    Raises:
        ScoreError: if no worker can start.
        Exception: what a worker raised.
    """
    while True:
        taken: dict[int, Shard] = {}
        try:
            with _pool(setup, workers) as pool:
                yield from _through(pool, shards, taken, AHEAD * workers)
            return
        except BrokenProcessPool:
            pass
        for shard in taken.values():
            yield _alone(shard, setup)


def _through(
    pool: ProcessPoolExecutor, shards: Iterator[Shard], taken: dict[int, Shard], most: int
) -> Iterator[Scored]:
    """``taken`` always holds what has not come back, for the caller to see if a worker dies."""
    running: set[Future[Scored]] = set()
    while True:
        for shard in islice(shards, most - len(running)):
            taken[shard.number] = shard
            running.add(_submit(pool, _work, shard))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            scored = future.result()
            del taken[scored.shard]
            yield scored


def _alone(shard: Shard, setup: Setup) -> Scored:
    for _ in range(TRIES_ALONE):
        try:
            with _begun(setup) as pool:
                return _submit(pool, _work, shard).result()
        except BrokenProcessPool:
            continue
    if len(shard) == 1:
        return crashed(shard, setup)
    return joined(*(_alone(half, setup) for half in shard.halves()))


@contextmanager
def _begun(setup: Setup) -> Iterator[ProcessPoolExecutor]:
    """A pool of one process, which is ready to work.

    Raises:
        ScoreError: if it cannot start.
    """
    for _ in range(TRIES_ALONE):
        with _pool(setup, 1) as pool:
            try:
                _submit(pool, _begin).result()
            except BrokenProcessPool:
                continue
            yield pool
            return
    raise not_started("it ended each time before it had begun")


@contextmanager
def _pool(setup: Setup, workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when it is left, and when this process dies in whatever way.

    Raises:
        ScoreError: if there can be none.
    """
    context = multiprocessing.get_context("spawn")
    with ExitStack() as open_ends:
        try:
            ours_to_hear, ours_to_hold = map(open_ends.enter_context, context.Pipe(duplex=False))
            pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(setup, ours_to_hear))
        except OSError as error:
            raise not_started(f"it cannot start: {reason(error)}", _SEMAPHORES) from error
        try:
            yield pool
        finally:
            ours_to_hold.close()
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, task: Callable[..., Answer], *given: Shard) -> Future[Answer]:
    """Has a process do a task; one may start for it.

    Raises:
        ScoreError: if none can start.
    """
    try:
        with _uninterrupted():
            return pool.submit(task, *given)
    except OSError as error:
        raise not_started(f"it cannot start: {reason(error)}") from error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that starts here never sees Ctrl-C: this process alone decides what follows from it."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows: see _start
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in a worker process ----


def _start(setup: Setup, parent: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where no mask kept it away
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _setups.append(setup)


def _end_with(parent: Connection) -> None:
    """Ends this process when the other end of the pipe is closed."""
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


@cache
def _scorer() -> Scorer:
    """Not made in ``_start``, since only what is raised by a task comes back."""
    return Scorer(_setups[0])


def _begin() -> None:
    _scorer()


def _work(shard: Shard) -> Scored:
    return _scorer().score(shard)

"""Micro-batching: threads that prepare one thing at a time, and run what is prepared together."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

Source = TypeVar("Source")
Item = TypeVar("Item")
Result = TypeVar("Result")


class LaterError(Exception):
    """A source cannot be prepared before another one is; it is tried again then."""


class Batcher(Generic[Source, Item, Result]):
    """Takes sources from any thread, makes an item of each, runs items in batches, hands back each result.

    Its threads do all of it, and while they keep up nothing passes from one to another: a thread prepares a
    source and runs the item. Where more sources wait, it prepares more first, up to its share of all that is
    there, unless an item would then wait longer than ``max_wait`` (by the time that the last source took).
    What one thread has prepared another may run, so that nothing waits behind a source that takes long.

    Args:
        prepare: makes an item of a source, or raises ``LaterError``.
        run: gives a result for each item of a batch, in order.
        size: how much an item takes up of a batch; one that is larger than a whole batch runs by itself.
        max_size: size of a batch.
        max_wait: seconds.
        threads: how many.
    """

    def __init__(
        self,
        prepare: Callable[[Source], Item],
        run: Callable[[Sequence[Item]], Sequence[Result]],
        size: Callable[[Item], int],
        *,
        max_size: int,
        max_wait: float,
        threads: int = 1,
    ) -> None:
        if max_size < 1 or threads < 1 or max_wait < 0:
            raise ValueError(
                "batcher: expected max_size and threads of at least 1 and max_wait of at least 0, "
                f"got {max_size}, {threads} and {max_wait}"
            )
        self._prepare, self._run, self._size = prepare, run, size
        self._max_size, self._max_wait = max_size, max_wait
        self._waiting: deque[tuple[Source, Future[Result]]] = deque()
        self._parked: list[tuple[Source, Future[Result]]] = []  # tried, to be tried again
        self._preparing = 0  # threads that are at it
        self._ready: deque[tuple[Item, Future[Result]]] = deque()
        self._first = 0.0  # when the oldest item became ready
        self._pace = 0.0  # how long the last source took
        self._changed = threading.Condition()
        self._closed = False
        self._began = [math.inf] * threads  # when each thread began its step; those that wait have none
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"crossfer-batch-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, source: Source) -> Future[Result]:
        """Queues a source; a future that is cancelled before its turn comes costs nothing.

        Raises:
            RuntimeError: if the batcher is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((source, future))
            self._changed.notify()
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Result]) -> None:
        """Lets the source of a future go that was cancelled."""
        if not future.cancelled():
            return
        with self._changed:
            self._waiting = deque(entry for entry in self._waiting if entry[1] is not future)
            self._parked = [entry for entry in self._parked if entry[1] is not future]

    def close(self, seconds: float | None = None) -> None:
        """Finishes what was submitted, then ends the threads.

        Args:
            seconds: after which threads that are still at work are left to themselves; None waits for them.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def alive(self) -> bool:
        """Whether all threads are at work or waiting for it."""
        return all(thread.is_alive() for thread in self._threads)

    def stuck(self, seconds: float) -> bool:
        """Whether every thread has been at one source, or one batch, for longer than that."""
        return time.monotonic() - max(self._began) > seconds

    def _work(self, number: int) -> None:
        while (step := self._next()) is not None:
            self._began[number] = time.monotonic()
            step()
            del step  # it holds an image
            self._began[number] = math.inf

    def _next(self) -> Callable[[], None] | None:
        """What to do now; None when the batcher is closed and there is nothing left to take."""
        with self._changed:
            while not (self._waiting or self._ready or self._closed):
                self._changed.wait()
            if self._due():
                step = partial(self._finish, self._batch())
            elif self._waiting:
                step = partial(self._make, *self._waiting.popleft())
            else:
                return None
            if self._waiting or self._ready:
                self._changed.notify()
            return step

    def _due(self) -> bool:
        """Whether the items that are ready should run now rather than wait for more."""
        if not self._ready:
            return False
        share = math.ceil((len(self._ready) + len(self._waiting)) / len(self._threads))
        return (
            len(self._ready) >= share
            or sum(self._size(item) for item, _ in self._ready) >= self._max_size
            or time.monotonic() + self._pace > self._first + self._max_wait
        )

    def _batch(self) -> list[tuple[Item, Future[Result]]]:
        batch, room = list[tuple[Item, Future[Result]]](), self._max_size
        while self._ready and (not batch or self._size(self._ready[0][0]) <= room):
            batch.append(self._ready.popleft())
            room -= self._size(batch[-1][0])
        return batch

    def _make(self, source: Source, future: Future[Result]) -> None:
        if future.cancelled():
            return
        with self._changed:
            self._preparing += 1
        made, error, start = list[Item](), None, time.monotonic()
        try:
            made.append(self._prepare(source))
        except BaseException as raised:  # whoever waits must learn of it
            error = raised
        end, later = time.monotonic(), isinstance(error, LaterError)
        wanted = not future.cancelled() if later else future.set_running_or_notify_cancel()
        with self._changed:
            self._preparing -= 1
            if later and wanted:
                self._parked.append((source, future))
            elif made and wanted:
                self._first = self._first if self._ready else end
                self._pace = end - start
                self._ready.append((made[0], future))
            if not later or not self._preparing:  # what stood in their way may be done
                self._waiting.extendleft(reversed(self._parked))
                self._parked.clear()
                self._changed.notify()
        if wanted and error is not None and not later:
            future.set_exception(error)
        # Or an error would, through its traceback, keep itself and the source alive.
        del source, future, error

    def _finish(self, batch: Sequence[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._run([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
        except BaseException as error:  # whoever waits must learn of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)

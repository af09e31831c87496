"""Micro-batching: what comes in at about the same time goes through the model together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items from any thread, runs them in batches on threads of its own, and hands back each result.

    A batch starts when it is full, when nothing more is expected, or at the latest ``max_wait`` after its
    first item was taken up. One thread collects at a time while the others run, so items that come during a
    run make up the next batch.

    Args:
        run: gives a result for each item of a batch, in order.
        size: how much an item takes up of a batch; one that is larger than a whole batch runs by itself.
        max_size: size of a batch.
        max_wait: seconds.
        threads: how many batches run at once.
    """

    def __init__(
        self,
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
        self._run, self._size = run, size
        self._max_size, self._max_wait = max_size, max_wait
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._expected = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"crossfer-batch-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Tells that an item is on its way: while this is open, a batch that is not full may wait for it."""
        with self._changed:
            self._expected += 1
        try:
            yield
        finally:
            with self._changed:
                self._expected -= 1
                self._changed.notify_all()

    def submit(self, item: Item) -> Future[Result]:
        """Queues an item; a future that is cancelled before its batch starts costs nothing.

        Raises:
            RuntimeError: if the batcher is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((item, future))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Finishes what was submitted, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def alive(self) -> bool:
        """Whether all threads are at work or waiting for it."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while True:
            with self._collecting:
                batch = self._collect()
            if batch is None:
                return
            self._finish(batch)

    def _collect(self) -> list[tuple[Item, Future[Result]]] | None:
        """The next batch; None when the batcher is closed and empty."""
        batch: list[tuple[Item, Future[Result]]] = []
        room = self._max_size
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            deadline = time.monotonic() + self._max_wait
            while True:
                while self._waiting and (not batch or self._size(self._waiting[0][0]) <= room):
                    entry = self._waiting.popleft()
                    if entry[1].set_running_or_notify_cancel():
                        batch.append(entry)
                        room -= self._size(entry[0])
                left = deadline - time.monotonic()
                if self._waiting or room <= 0 or not self._expected or left <= 0:
                    break
                self._changed.wait(left)
        return batch if batch or not self._closed else None

    def _finish(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        if not batch:
            return
        try:
            results = self._run([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
        except BaseException as error:  # whoever waits must learn of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)

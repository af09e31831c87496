"""Micro-batching: everything comes out once, in its own future, in batches of the right size."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.serve.batcher import Batcher, LaterError

SECONDS = 30


class Held:
    """A number at which a thread stops until it is let go."""

    def __init__(self) -> None:
        self.reached, self._go = threading.Event(), threading.Event()

    def stop(self) -> None:
        self.reached.set()
        assert self._go.wait(SECONDS)

    def let_go(self) -> None:
        assert self.reached.wait(SECONDS)
        self._go.set()


class Doubling:
    """Doubles numbers and remembers the batches; stops where it is told to.

    Args:
        prepare: numbers at which preparing stops.
        run: numbers at which a batch that holds them stops.
    """

    def __init__(self, *, prepare: dict[int, Held] | None = None, run: dict[int, Held] | None = None) -> None:
        self._at = {"prepare": prepare or {}, "run": run or {}}
        self.batches: list[list[int]] = []

    def prepare(self, number: int) -> int:
        self._stop("prepare", number)
        return number

    def run(self, numbers):
        self.batches.append(list(numbers))
        for number in numbers:
            self._stop("run", number)
        return [2 * number for number in numbers]

    def _stop(self, where: str, number: int) -> None:
        if number in self._at[where]:
            self._at[where][number].stop()

    def batcher(self, *, max_size: int = 8, max_wait: float = SECONDS, threads: int = 1) -> Batcher:
        return Batcher(
            self.prepare, self.run, lambda _: 1, max_size=max_size, max_wait=max_wait, threads=threads
        )


def results(futures) -> list[int]:
    return [future.result(SECONDS) for future in futures]


@given(
    sizes=st.lists(st.integers(0, 9), max_size=40),
    max_size=st.integers(1, 12),
    threads=st.integers(1, 3),
    wait=st.sampled_from([0.0, 0.001, 1.0]),
)
def test_every_source_gets_its_own_result_and_no_batch_is_too_large(sizes, max_size, threads, wait):
    work = Doubling()
    batcher = Batcher(int, work.run, lambda item: item, max_size=max_size, max_wait=wait, threads=threads)
    with ThreadPoolExecutor(4) as pool:
        futures = list(pool.map(batcher.submit, map(str, sizes)))
    assert results(futures) == [2 * size for size in sizes]
    batcher.close()
    assert sorted(item for batch in work.batches for item in batch) == sorted(sizes)
    assert all(sum(batch) <= max_size or len(batch) == 1 for batch in work.batches)


def test_closing_does_not_wait_for_ever():
    first = Held()
    work = Doubling(run={0: first})
    batcher = work.batcher()
    future = batcher.submit(0)
    assert first.reached.wait(SECONDS)
    began = time.monotonic()
    batcher.close(0.2)
    assert time.monotonic() - began < SECONDS / 2
    first.let_go()
    assert results([future]) == [0]


def test_what_comes_during_a_run_is_the_next_batch():
    first = Held()
    work = Doubling(run={0: first})
    batcher = work.batcher()
    futures = [batcher.submit(0)]
    assert first.reached.wait(SECONDS)
    futures += [batcher.submit(n) for n in range(1, 11)]
    first.let_go()
    assert results(futures) == [2 * n for n in range(11)]
    batcher.close()
    assert work.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10]]


def test_a_batch_that_is_full_does_not_wait_for_more():
    first, long = Held(), Held()
    work = Doubling(run={0: first}, prepare={3: long})
    batcher = work.batcher(max_size=2)
    futures = [batcher.submit(0)]
    assert first.reached.wait(SECONDS)
    futures += [batcher.submit(n) for n in (1, 2, 3)]
    first.let_go()
    assert results(futures[:3]) == [0, 2, 4]
    long.let_go()
    batcher.close()
    assert work.batches == [[0], [1, 2], [3]]


def test_a_thread_takes_its_share_and_leaves_the_rest_to_the_others():
    here, there = Held(), Held()
    work = Doubling(run={100: here, 101: there})
    batcher = work.batcher(threads=2)
    held = [batcher.submit(n) for n in (100, 101)]
    assert here.reached.wait(SECONDS)
    assert there.reached.wait(SECONDS)
    futures = [batcher.submit(n) for n in range(8)]
    here.let_go()
    assert results(futures) == [2 * n for n in range(8)]
    there.let_go()
    assert results(held) == [200, 202]
    batcher.close()
    assert work.batches[2:] == [[0, 1, 2, 3], [4, 5], [6], [7]]


def test_what_is_ready_does_not_wait_behind_a_source_that_takes_long():
    here, there, long = Held(), Held(), Held()
    work = Doubling(run={100: here, 101: there}, prepare={1: long})
    batcher = work.batcher(threads=2)
    futures = [batcher.submit(n) for n in (100, 101)]
    assert here.reached.wait(SECONDS)
    assert there.reached.wait(SECONDS)
    futures += [batcher.submit(n) for n in range(4)]
    here.let_go()
    assert long.reached.wait(SECONDS)
    assert work.batches[2:] == [], "the first was to wait for the second"
    there.let_go()
    assert [futures[place].result(SECONDS) for place in (2, 4, 5)] == [0, 4, 6]
    assert not futures[3].done()
    long.let_go()
    assert results(futures) == [200, 202, 0, 2, 4, 6]
    batcher.close()


def test_nothing_passes_between_threads_that_keep_up():
    seen: list[int] = []

    def note(value):
        seen.append(threading.get_ident())
        return value

    batcher = Batcher(note, note, lambda _: 1, max_size=8, max_wait=SECONDS, threads=3)
    assert [batcher.submit(n).result(SECONDS) for n in range(20)] == list(range(20))
    batcher.close()
    assert seen[::2] == seen[1::2]


@pytest.mark.parametrize(("max_wait", "batches"), [(0.01, [[1], [2], [3]]), (SECONDS, [[1, 2, 3]])])
def test_nothing_that_is_ready_waits_longer_than_it_may(max_wait, batches):
    first = Held()
    work = Doubling(run={0: first})

    def prepare(number):
        time.sleep(0.02)
        return number

    batcher = Batcher(prepare, work.run, lambda _: 1, max_size=8, max_wait=max_wait)
    futures = [batcher.submit(0)]
    assert first.reached.wait(SECONDS)
    futures += [batcher.submit(n) for n in (1, 2, 3)]
    first.let_go()
    assert results(futures) == [0, 2, 4, 6]
    batcher.close()
    assert work.batches == [[0], *batches]


def test_a_source_that_fails_reaches_nobody_else():
    batcher = Batcher(lambda n: 12 // n, list, lambda _: 1, max_size=4, max_wait=0)
    bad, good = batcher.submit(0), batcher.submit(3)
    with pytest.raises(ZeroDivisionError):
        bad.result(SECONDS)
    assert good.result(SECONDS) == 4
    assert batcher.alive()
    batcher.close()


def test_a_batch_that_fails_reaches_everyone_in_it_and_nobody_else():
    def run(items):
        if 13 in items:
            raise ZeroDivisionError("thirteen")
        return items

    batcher = Batcher(int, run, lambda _: 1, max_size=1, max_wait=0)
    bad, good = batcher.submit(13), batcher.submit(1)
    with pytest.raises(ZeroDivisionError):
        bad.result(SECONDS)
    assert good.result(SECONDS) == 1
    assert batcher.alive()
    batcher.close()
    assert not batcher.alive()


def test_it_is_stuck_while_every_thread_has_been_at_one_source_for_too_long():
    first, second = Held(), Held()
    batcher = Doubling(prepare={0: first}, run={1: second}).batcher(threads=2, max_wait=0)
    assert not batcher.stuck(0)
    futures = [batcher.submit(0)]
    assert first.reached.wait(SECONDS)
    time.sleep(0.02)
    assert not batcher.stuck(0.01), "the other thread is free"
    futures.append(batcher.submit(1))
    assert second.reached.wait(SECONDS)
    assert not batcher.stuck(SECONDS), "it may still be in time"
    time.sleep(0.02)
    assert batcher.stuck(0.01)
    second.let_go()
    assert futures[1].result(SECONDS) == 2
    first.let_go()
    batcher.close()
    assert not batcher.stuck(0)


def test_a_result_too_few_is_an_error_and_not_a_wait_forever():
    batcher = Batcher(int, lambda items: items[:-1], lambda _: 1, max_size=4, max_wait=0)
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(1).result(SECONDS)
    batcher.close()


def test_what_is_cancelled_in_time_is_not_worked_on():
    first = Held()
    work = Doubling(run={0: first}, prepare={1: Held()})  # nobody would let it go
    batcher = work.batcher()
    batcher.submit(0)
    assert first.reached.wait(SECONDS)
    gone, kept = batcher.submit(1), batcher.submit(2)
    assert gone.cancel()
    first.let_go()
    assert kept.result(SECONDS) == 4
    batcher.close()
    assert work.batches == [[0], [2]]


class Number:
    """Something large that a source is made of."""


def test_the_source_of_what_is_cancelled_is_let_go_at_once():
    first = Held()
    batcher = Doubling(run={0: first}).batcher()
    batcher.submit(0)
    assert first.reached.wait(SECONDS)
    source = Number()
    alive, gone = weakref.ref(source), batcher.submit(source)
    del source
    assert gone.cancel()
    gc.collect()
    assert alive() is None
    first.let_go()
    batcher.close()


def test_nothing_is_held_of_what_was_answered():
    batcher = Batcher(lambda item: item, lambda items: [0] * len(items), lambda _: 1, max_size=4, max_wait=0)
    source = Number()
    alive = weakref.ref(source)
    assert batcher.submit(source).result(SECONDS) == 0
    del source
    deadline = time.monotonic() + SECONDS
    while alive() is not None:
        assert time.monotonic() < deadline, "an idle thread holds the last image"
        time.sleep(0.01)
    batcher.close()


def test_an_error_does_not_keep_what_it_was_about():
    def fail(source: Number) -> None:
        raise ValueError

    batcher = Batcher(fail, list, lambda _: 1, max_size=4, max_wait=0)
    source = Number()
    alive, future = weakref.ref(source), batcher.submit(source)
    gc.disable()
    try:
        assert isinstance(future.exception(SECONDS), ValueError)
        del source, future
        deadline = time.monotonic() + SECONDS
        while alive() is not None:
            assert time.monotonic() < deadline, "only the garbage collector would let it go"
            time.sleep(0.01)
    finally:
        gc.enable()
    batcher.close()


class OneAtATime:
    """Numbers from 100 on are prepared one at a time, and it is noted what was done."""

    def __init__(self, held: Held | None = None) -> None:
        self._lane, self._held = threading.Lock(), held
        self.tried, self.done = 0, list[int]()

    def prepare(self, number: int) -> int:
        if number >= 100:
            if not self._lane.acquire(blocking=False):
                self.tried += 1
                raise LaterError
            try:
                if number == 100 and self._held is not None:
                    self._held.stop()
                time.sleep(0.001)
            finally:
                self._lane.release()
        self.done.append(number)
        return number

    def batcher(self, threads: int) -> Batcher:
        return Batcher(self.prepare, list, lambda _: 1, max_size=4, max_wait=0.001, threads=threads)


def test_what_has_to_wait_for_another_holds_up_nobody():
    first = Held()
    work = OneAtATime(first)
    batcher = work.batcher(2)
    large = [batcher.submit(100)]
    assert first.reached.wait(SECONDS)
    large += [batcher.submit(number) for number in range(101, 105)]
    small = [batcher.submit(number) for number in range(5)]
    assert [future.result(SECONDS) for future in small] == [0, 1, 2, 3, 4]
    assert not any(future.done() for future in large)
    first.let_go()
    assert [future.result(SECONDS) for future in large] == [100, 101, 102, 103, 104]
    batcher.close()


def test_what_has_to_wait_can_be_cancelled():
    first = Held()
    work = OneAtATime(first)
    batcher = work.batcher(2)
    kept, gone = batcher.submit(100), batcher.submit(101)
    while not work.tried:
        time.sleep(0.001)
    assert gone.cancel()
    first.let_go()
    assert kept.result(SECONDS) == 100
    batcher.close()
    assert work.done == [100]


def test_the_source_of_what_has_to_wait_is_let_go_when_it_is_cancelled():
    first, tried = Held(), threading.Event()

    def prepare(source):
        if source is None:
            first.stop()
            return 0
        tried.set()
        raise LaterError

    batcher = Batcher(prepare, list, lambda _: 1, max_size=4, max_wait=0, threads=2)
    batcher.submit(None)
    assert first.reached.wait(SECONDS)
    source = Number()
    alive, gone = weakref.ref(source), batcher.submit(source)
    del source
    assert tried.wait(SECONDS)
    assert gone.cancel()
    deadline = time.monotonic() + SECONDS / 2
    while alive() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    gc.collect()
    assert alive() is None
    first.let_go()
    batcher.close()


@settings(max_examples=30)
@given(st.lists(st.integers(95, 105), max_size=40), st.integers(1, 4))
def test_whoever_has_to_wait_is_answered_in_the_end(numbers, threads):
    batcher = OneAtATime().batcher(threads)
    futures = [batcher.submit(number) for number in numbers]
    assert [future.result(SECONDS) for future in futures] == numbers
    batcher.close()


def test_closing_finishes_what_was_submitted_and_takes_no_more():
    first = Held()
    batcher = Doubling(run={0: first}).batcher(max_size=2, threads=2)
    futures = [batcher.submit(n) for n in range(9)]
    assert first.reached.wait(SECONDS)
    threading.Timer(0.05, first.let_go).start()
    batcher.close()
    assert [future.result(0) for future in futures] == [2 * n for n in range(9)]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(1)


@pytest.mark.parametrize("settings", [{"max_size": 0}, {"max_wait": -1}, {"threads": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="batcher: expected"):
        Doubling().batcher(**settings)

"""Micro-batching: everything comes out once, in its own future, in batches of the right size."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfer.serve.batcher import Batcher


class Recorder:
    """Doubles numbers and remembers the batches; waits until it is let go where it is told to."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.entered = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.go.wait(30)
        return [2 * item for item in items]


@given(
    sizes=st.lists(st.integers(0, 9), max_size=40),
    max_size=st.integers(1, 12),
    threads=st.integers(1, 3),
    wait=st.sampled_from([0.0, 0.001]),
)
def test_every_item_gets_its_own_result_and_no_batch_is_too_large(sizes, max_size, threads, wait):
    record = Recorder()
    batcher = Batcher(record, lambda item: item, max_size=max_size, max_wait=wait, threads=threads)
    with ThreadPoolExecutor(4) as pool:
        futures = list(pool.map(batcher.submit, sizes))
    assert [future.result(30) for future in futures] == [2 * size for size in sizes]
    batcher.close()
    assert sorted(item for batch in record.batches for item in batch) == sorted(sizes)
    assert all(sum(batch) <= max_size or len(batch) == 1 for batch in record.batches)


def test_what_comes_during_a_run_is_the_next_batch():
    record = Recorder(held=True)
    batcher = Batcher(record, lambda _: 1, max_size=8, max_wait=0)
    first = batcher.submit(0)
    assert record.entered.wait(30)
    rest = [batcher.submit(n) for n in range(1, 11)]
    record.go.set()
    assert [future.result(30) for future in [first, *rest]] == [2 * n for n in range(11)]
    batcher.close()
    assert record.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10]]


def test_a_batch_waits_for_what_is_expected():
    record = Recorder()
    batcher = Batcher(record, lambda _: 1, max_size=8, max_wait=30)
    with batcher.expected():
        first = batcher.submit(1)
        time.sleep(0.05)
        assert not record.batches
        second = batcher.submit(2)
    assert (first.result(10), second.result(10)) == (2, 4)
    batcher.close()
    assert record.batches == [[1, 2]]


def test_a_batch_does_not_wait_longer_than_it_may():
    batcher = Batcher(Recorder(), lambda _: 1, max_size=8, max_wait=0.01)
    with batcher.expected():
        assert batcher.submit(1).result(10) == 2
    batcher.close()


def test_nobody_waits_for_what_is_not_expected():
    batcher = Batcher(Recorder(), lambda _: 1, max_size=8, max_wait=1000)
    assert batcher.submit(1).result(10) == 2
    batcher.close()


def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else():
    def run(items):
        if 13 in items:
            raise ZeroDivisionError("thirteen")
        return items

    batcher = Batcher(run, lambda _: 1, max_size=1, max_wait=0)
    bad, good = batcher.submit(13), batcher.submit(1)
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    assert good.result(10) == 1
    assert batcher.alive()
    batcher.close()
    assert not batcher.alive()


def test_a_result_too_few_is_an_error_and_not_a_wait_forever():
    batcher = Batcher(lambda items: items[:-1], lambda _: 1, max_size=4, max_wait=0)
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(1).result(10)
    batcher.close()


def test_what_is_cancelled_in_time_is_not_run():
    record = Recorder(held=True)
    batcher = Batcher(record, lambda _: 1, max_size=8, max_wait=0)
    batcher.submit(0)
    assert record.entered.wait(30)
    gone, kept = batcher.submit(1), batcher.submit(2)
    assert gone.cancel()
    record.go.set()
    assert kept.result(30) == 4
    batcher.close()
    assert record.batches == [[0], [2]]


def test_closing_finishes_what_was_submitted_and_takes_no_more():
    record = Recorder(held=True)
    batcher = Batcher(record, lambda _: 1, max_size=2, max_wait=0, threads=2)
    futures = [batcher.submit(n) for n in range(9)]
    threading.Timer(0.05, record.go.set).start()
    batcher.close()
    assert [future.result(0) for future in futures] == [2 * n for n in range(9)]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(1)


@pytest.mark.parametrize("settings", [{"max_size": 0}, {"max_wait": -1}, {"threads": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="batcher: expected"):
        Batcher(list, lambda _: 1, **{"max_size": 1, "max_wait": 0, **settings})

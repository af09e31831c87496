"""Timing under a clock of our own: what a sample is, which order, how many rounds, what a ratio says."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, quantile_test

from crossfer.bench.timing import CONFIDENCE, LEAST_ROUNDS, Pace, Spread, in_turn, paired_ratio

PACE = Pace(budget=10.0, block=0.1, most_rounds=20)


class FakeMachine:
    """Things take exactly the time that they are told to, on a clock that only they move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.now += seconds
            self.calls.append("rest")

    def thing(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        """What takes ``seconds(n)`` at its n-th call, from 0."""

        def call() -> None:
            self.now += seconds(self.calls.count(name))
            self.calls.append(name)

        return call

    def measure(
        self, things: dict[str, Callable[[], None]], pace: Pace = PACE
    ) -> dict[str, tuple[float, ...]]:
        return in_turn(things, pace, clock=self.clock, sleep=self.sleep)


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def test_a_sample_is_the_mean_time_of_a_call(machine):
    samples = machine.measure(
        {"a": machine.thing("a", lambda n: 0.02), "b": machine.thing("b", lambda n: 0.05)}
    )
    assert samples["a"] == pytest.approx([0.02] * 20)
    assert samples["b"] == pytest.approx([0.05] * 20)


def test_rounds_go_forwards_and_backwards_in_turn(machine):
    names = ["a", "b", "c"]
    # Longer than a block, so that a call is a block and those of neighbouring rounds can be told apart.
    samples = machine.measure({name: machine.thing(name, lambda n: 0.3) for name in names})
    rounds = len(samples["a"])
    warm_up, measured = machine.calls[:6], machine.calls[6:]
    assert warm_up == ["a", "a", "b", "b", "c", "c"]
    assert len(measured) == 3 * rounds
    for number in range(rounds):
        assert measured[3 * number : 3 * number + 3] == (names if number % 2 == 0 else names[::-1])


def test_short_things_are_called_until_a_block_is_full_and_once_before_that(machine):
    machine.measure(
        {"short": machine.thing("short", lambda n: 0.01), "long": machine.thing("long", lambda n: 0.5)}
    )
    between = "".join(name[0] for name in machine.calls).strip("s").split("l")
    assert {len(run) for run in between[3:] if run} <= {11, 22}  # 22: last of a round and first of the next


def test_as_many_rounds_as_the_budget_has_room_for(machine):
    pace = Pace(budget=10.0, block=0.1, most_rounds=1000)
    samples = machine.measure(
        {"a": machine.thing("a", lambda n: 0.3), "b": machine.thing("b", lambda n: 0.2)}, pace
    )
    assert len(samples["a"]) == len(samples["b"]) == 20


def test_there_is_rest_before_each_block_that_does_not_count(machine):
    pace = Pace(budget=12.1, block=0.1, rest=0.3)
    things = {"a": machine.thing("a", lambda n: 0.2), "b": machine.thing("b", lambda n: 0.4)}
    samples = machine.measure(things, pace)
    assert samples["a"] == pytest.approx([0.2] * 10), "but rest is part of the budget"
    assert machine.calls[4:8] == ["rest", "a", "rest", "b"]


@pytest.mark.parametrize(("seconds", "rounds"), [(100.0, LEAST_ROUNDS), (0.001, 20)])
def test_never_too_few_rounds_nor_too_many(machine, seconds, rounds):
    assert len(machine.measure({"a": machine.thing("a", lambda n: seconds)})["a"]) == rounds


def test_what_is_slow_until_it_is_warm_does_not_count(machine):
    samples = machine.measure({"a": machine.thing("a", lambda n: 3.0 if n == 0 else 0.02)})
    assert len(samples["a"]) == 20, "nor does it make the rounds fewer"
    assert samples["a"] == pytest.approx([0.02] * 20)


def test_warming_up_goes_on_for_a_block(machine):
    samples = machine.measure({"a": machine.thing("a", lambda n: 0.03 if n < 5 else 0.01)})
    assert samples["a"] == pytest.approx([0.01] * 20)


def test_a_cache_that_others_have_emptied_does_not_count(machine):
    def cold(name: str) -> Callable[[], None]:
        def call() -> None:
            machine.now += 0.005 if machine.calls and machine.calls[-1] == name else 0.08
            machine.calls.append(name)

        return call

    samples = machine.measure({"a": cold("a"), "b": cold("b")})
    assert samples["a"] + samples["b"] == pytest.approx([0.005] * 40)


def test_a_machine_that_slows_down_slows_both_and_the_ratio_stays(machine):
    def slower_each_round() -> float:
        return 1.1 ** (len(machine.calls) // 2)

    things = {
        "one": machine.thing("one", lambda n: 0.2 * slower_each_round()),
        "two": machine.thing("two", lambda n: 0.5 * slower_each_round()),
    }
    samples = machine.measure(things, Pace(budget=8.0, block=0.1))
    assert samples["one"][-1] > 2 * samples["one"][0]
    ratio = paired_ratio(samples["two"], samples["one"])
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((2.5, 2.5, 2.5))


def test_progress_is_told_between_measurements_up_to_the_end(machine):
    told: list[tuple[int, int]] = []
    things = {name: machine.thing(name, lambda n: 0.3) for name in "abc"}
    samples = in_turn(things, PACE, clock=machine.clock, tell=lambda done, total: told.append((done, total)))
    assert told == [(done, 3 * len(samples["a"])) for done in range(1, 3 * len(samples["a"]) + 1)]


def test_an_interruption_passes(machine):
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.measure({"a": machine.thing("a", lambda n: 0.3), "b": stopped})


def test_the_real_clock_runs_forwards():
    assert min(in_turn({"a": lambda: sum(range(100))}, Pace(budget=0.01, block=1e-4))["a"]) > 0


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=50))
def test_quartiles_are_those_of_numpy(samples):
    spread = Spread.of(samples)
    expected = np.percentile(samples, [25, 50, 75])
    assert (spread.lower, spread.median, spread.upper) == pytest.approx(tuple(expected))


def test_one_sample_has_no_spread():
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


positive = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(positive, positive), min_size=LEAST_ROUNDS, max_size=60))
def test_the_interval_of_a_ratio_is_that_of_the_sign_test(pairs):
    over, under = zip(*pairs, strict=True)
    ratio = paired_ratio(over, under)
    ratios = [a / b for a, b in pairs]
    assert ratio.median == pytest.approx(statistics.median(ratios))
    test = quantile_test(ratios, q=1.0, p=0.5, alternative="two-sided")
    low, high = test.confidence_interval(CONFIDENCE)
    assert ratio.low <= ratio.median <= ratio.high
    assert (ratio.low, ratio.high) == pytest.approx((low, high))


def test_the_interval_holds_the_median_often_enough_and_is_not_wider_than_need_be():
    for count in range(LEAST_ROUNDS, 60):
        ratio = paired_ratio([float(i) for i in range(1, count + 1)], [1.0] * count)
        outside = round(ratio.low) - 1
        assert round(ratio.high) == count - outside, "as many above as below"
        assert 1 - 2 * binom.cdf(outside, count, 0.5) >= CONFIDENCE
        assert 1 - 2 * binom.cdf(outside + 1, count, 0.5) < CONFIDENCE


@pytest.mark.parametrize(
    ("over", "under"), [(LEAST_ROUNDS, LEAST_ROUNDS + 1), (LEAST_ROUNDS - 1, LEAST_ROUNDS - 1)]
)
def test_a_ratio_needs_rounds_of_both(over, under):
    with pytest.raises(ValueError, match=f"at least {LEAST_ROUNDS}, found {over} and {under}"):
        paired_ratio([1.0] * over, [1.0] * under)

"""Timing things against each other: in turn, round by round, so that what slows the machine slows them all.

A sample is the mean time of a call in a block of calls. Things are compared by the ratios of one round's
samples; the spread is told by quartiles, the doubt about a ratio by an interval of its median.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key")
Clock = Callable[[], float]
Tell = Callable[[int, int], None]

LEAST_ROUNDS = 6  # fewer cannot bear an interval of the median at 95 %
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Attributes:
        budget: seconds that all rounds together should take; ``LEAST_ROUNDS`` are made whatever they take.
        block: seconds that a block of calls should take; what takes longer is called once.
        most_rounds: not more than so many.
        warm_up: calls of each thing before it is measured, at least; and at least for ``block`` seconds.
        rest: seconds to wait before each block, for threads of the thing before to fall asleep.
    """

    budget: float
    block: float = 0.1
    most_rounds: int = 31
    warm_up: int = 2
    rest: float = 0.0

    def rounds(self, seconds: float) -> int:
        """How many rounds to make if one takes so long."""
        return max(LEAST_ROUNDS, min(self.most_rounds, int(self.budget / max(seconds, 1e-9))))


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of samples."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """That of at least one sample; the quartiles are interpolated between samples.

        >>> Spread.of([4.0, 1.0, 2.0, 3.0, 5.0])
        Spread(median=3.0, lower=2.0, upper=4.0)
        """
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, lower, upper)


@dataclass(frozen=True)
class Ratio:
    """Median of the ratios of rounds, and an interval that holds the true median at least 95 times in 100."""

    median: float
    low: float
    high: float


def paired_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    """The ratio of two things that were measured in the same rounds.

    The interval lies between two of the ordered ratios, and so needs no assumption about their distribution
    but that rounds are independent (the sign test turned round; Conover 1999, "Practical Nonparametric
    Statistics", section 3.2).

    Args:
        numerator: a sample a round, above 0.
        denominator: a sample a round, above 0, of the same rounds.

    Raises:
        ValueError: if there are not as many of both, or fewer than ``LEAST_ROUNDS``.
    """
    if len(numerator) != len(denominator) or len(numerator) < LEAST_ROUNDS:
        raise ValueError(
            f"expected the same number of samples of both, at least {LEAST_ROUNDS}, "
            f"found {len(numerator)} and {len(denominator)}"
        )
    ratios = sorted(a / b for a, b in zip(numerator, denominator, strict=True))
    outside = _ranks_outside(len(ratios))
    return Ratio(statistics.median(ratios), ratios[outside], ratios[-1 - outside])


def _ranks_outside(count: int) -> int:
    """How many of the ordered samples lie outside the interval of the median on each side."""
    outside, tail = 0, 0.5**count  # chance that the median lies below all samples
    while True:
        tail += math.comb(count, outside + 1) * 0.5**count
        if 2 * tail > 1 - CONFIDENCE:
            return outside
        outside += 1


def in_turn(
    things: Mapping[Key, Callable[[], object]],
    pace: Pace,
    *,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    tell: Tell = lambda done, total: None,
) -> dict[Key, tuple[float, ...]]:
    """Measures things in turn; every other round goes backwards, so that no one always follows the same.

    Args:
        things: what to call, by any key.
        pace: how long.
        clock: gives seconds.
        sleep: waits for so many.
        tell: called between blocks with how many are done, and of how many.

    Returns:
        Seconds a call by key: a sample a round, in the order of the rounds.
    """
    calls, seconds = {}, 0.0
    for key, call in things.items():
        each = _warm_up(call, pace, clock)
        calls[key] = max(1, round(pace.block / max(each, 1e-9)))
        seconds += pace.rest + each * (calls[key] + (calls[key] > 1))
    rounds = pace.rounds(seconds)
    samples: dict[Key, list[float]] = {key: [] for key in things}
    order = list(things)
    for number in range(rounds):
        for place, key in enumerate(order, start=1):
            sleep(pace.rest)
            samples[key].append(_block(things[key], calls[key], clock))
            tell(number * len(order) + place, rounds * len(order))
        order.reverse()
    return {key: tuple(values) for key, values in samples.items()}


def _warm_up(call: Callable[[], object], pace: Pace, clock: Clock) -> float:
    """Calls until it is warm; gives seconds a call, those of the first left out if there are others."""
    times: list[float] = []
    while len(times) < pace.warm_up or sum(times) < pace.block:
        began = clock()
        call()
        times.append(clock() - began)
    return statistics.median(times[1:] or times)


def _block(call: Callable[[], object], calls: int, clock: Clock) -> float:
    """Mean seconds of so many calls in a row."""
    if calls > 1:
        call()  # brings back into the caches what those before have driven out; long calls do so themselves
    began = clock()
    for _ in range(calls):
        call()
    return (clock() - began) / calls

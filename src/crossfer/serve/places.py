"""How many may be inside at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from crossfer.serve.problems import Problem


class Places:
    """A number of places; whoever finds none is turned away at once. For use on one event loop.

    Args:
        most: how many there are.
        what: what takes them up, in the plural.
        gauge: is told how many are taken.
    """

    def __init__(self, most: int, what: str, gauge: Gauge) -> None:
        self._most, self._what, self._gauge = most, what, gauge
        self._taken = 0

    def check(self) -> None:
        """Looks for a place without taking it.

        Raises:
            Problem: if there is none.
        """
        if self._taken >= self._most:
            raise busy(f"{self._most} {self._what} are open, which is all it takes on at once")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Takes a place.

        Raises:
            Problem: if there is none.
        """
        self.check()
        self._taken += 1
        self._gauge.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._gauge.set(self._taken)


def busy(why: str) -> Problem:
    """The problem for a service that has as much to do as it takes on."""
    return Problem("busy", f"{why}; try again in a second.", {"Retry-After": "1"})

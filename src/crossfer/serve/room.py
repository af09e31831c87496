"""Room that threads share: who needs more than is left waits until others are done."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Bounds what several threads hold at once. They enter in the order in which they came.

    Args:
        size: of the room; who needs more than all of it enters when it is empty.
    """

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits for room, and holds it meanwhile."""
        me = object()
        with self._changed:
            self._waiting.append(me)
            self._changed.wait_for(lambda: self._waiting[0] is me and self._fits(amount))
            self._waiting.popleft()
            self._taken += amount
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()

    def _fits(self, amount: int) -> bool:
        return self._taken == 0 or self._taken + amount <= self._size

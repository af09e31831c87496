"""Who needs more room than is left waits, and nobody is passed by."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.serve.room import Room


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 15), min_size=1, max_size=12))
def test_no_more_is_inside_than_the_room_holds(amounts):
    room, lock, inside, most = Room(10), threading.Lock(), list[int](), list[int]()

    def stay(amount: int) -> None:
        with room.taken(amount):
            with lock:
                inside.append(amount)
                most.append(sum(inside) if len(inside) > 1 else 0)
            time.sleep(0.001)
            with lock:
                inside.remove(amount)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stay, amounts))
    assert max(most) <= 10
    assert not inside


def test_who_came_first_enters_first_though_the_next_would_fit():
    room, order = Room(10), list[str]()

    def stay(name: str, amount: int) -> None:
        with room.taken(amount):
            order.append(name)

    with room.taken(6):
        threads = []
        for name, amount in (("large", 9), ("small", 1)):
            threads.append(threading.Thread(target=stay, args=(name, amount)))
            threads[-1].start()
            time.sleep(0.1)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["large", "small"]


def test_an_error_inside_gives_the_room_back():
    room = Room(1)
    with pytest.raises(ValueError, match="inside"), room.taken(1):
        raise ValueError("inside")
    with room.taken(1):
        pass

from __future__ import annotations

import pytest

from crossfer.runtime.cores import usable_cores


def test_only_cores_that_the_process_is_bound_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert usable_cores() == 2


@pytest.mark.parametrize(("there", "usable"), [(8, 8), (None, 1)])
def test_where_no_process_is_bound_all_count(
    monkeypatch: pytest.MonkeyPatch, there: int | None, usable: int
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: there)
    assert usable_cores() == usable

"""The command line within the tests' own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from support.command import run_main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | int | None]:
    """Runs ``crossfer``: see ``run_main``."""
    return partial(run_main, monkeypatch)

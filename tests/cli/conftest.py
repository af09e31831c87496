"""The command line within the tests' own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from crossfer.runtime import recognizer
from support.command import run_main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | int | None]:
    """Runs ``crossfer``: see ``run_main``."""
    return partial(run_main, monkeypatch)


@pytest.fixture
def threads_asked(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """How many threads each recogniser's model was given, as they are made; None for its own choice."""
    asked, whole = [], recognizer.read_bundle

    def read_bundle(model, *, threads):
        asked.append(threads)
        return whole(model, threads=threads)

    monkeypatch.setattr(recognizer, "read_bundle", read_bundle)
    return asked

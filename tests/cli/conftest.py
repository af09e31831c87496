"""The command line within the tests' own process, which spares an import of torch for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from crossfer.cli import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | int | None]:
    """Runs ``crossfer``; its exit status, or the message where that is 1."""

    def crossfer(*arguments: object) -> str | int | None:
        monkeypatch.setattr(sys, "argv", ["crossfer", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code

    return crossfer

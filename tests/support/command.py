"""The command line as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from crossfer.cli import main


def crossfer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``crossfer`` in a process of its own and wait for it, whatever its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "crossfer", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str | int | None:
    """Run ``crossfer`` within this process, which spares an import of torch for every command.

    Returns:
        Its exit status, or the line it says where it refuses to work (status 1 or 2).
    """
    monkeypatch.setattr(sys, "argv", ["crossfer", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_, redirect_stderr(StringIO()) as stderr:
        main()
    said = stderr.getvalue()
    sys.stderr.write(said)
    refused = exit_.value.code == 2 and said.startswith("crossfer: ")
    return said.rstrip("\n") if refused else exit_.value.code

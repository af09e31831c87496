"""The command line as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def crossfer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``crossfer`` in a process of its own and wait for it, whatever its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "crossfer", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )

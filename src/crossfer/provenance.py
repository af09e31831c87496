"""Which code a result came from."""

from __future__ import annotations

import subprocess
from pathlib import Path


def code_commit() -> str:
    """Commit of the checkout this package runs from, ``+changes`` if its source differs; else ``unknown``."""
    here = Path(__file__).parent
    try:
        # Fails where a checkout of something else surrounds an install.
        _git(here, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", str(here))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        ["git", "-C", str(folder), *arguments],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()

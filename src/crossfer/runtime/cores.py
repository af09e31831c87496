"""How many processors there are to share work among."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Logical cores that this process may use: those it is bound to, else all; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

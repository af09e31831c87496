"""How many processors there are to share work among."""

from __future__ import annotations

import math
import os
import reprlib
from pathlib import Path

import numpy as np

from crossfer.defaults import MAX_THREADS

CONTROL_GROUP = Path("/sys/fs/cgroup")  # of this process, as a container sees it


def usable_cores() -> int:
    """Logical cores that this process may use, at least 1: those it is bound to, else all.

    No more than a container's share of processor time (a quota of its control group, rounded up) is worth.
    """
    return max(1, math.ceil(min(_bound(), share_of_time())))


def inference_threads(asked: int | None) -> int:
    """How many threads ONNX Runtime is told to take: as many as asked, or 0, by which it decides itself.

    It takes one a physical core, however little of them a container may use: a share of less than all cores
    is told to it.

    Raises:
        ValueError: if what is asked for is no integer from 1 to ``MAX_THREADS``.
    """
    if asked is not None:
        counted = isinstance(asked, int | np.integer) and not isinstance(asked, bool)
        if not (counted and 1 <= asked <= MAX_THREADS):
            raise ValueError(
                f"threads: expected an integer from 1 to {MAX_THREADS}, got {reprlib.repr(asked)}"
            )
        return int(asked)
    return usable_cores() if share_of_time() < _bound() else 0


def _bound() -> int:
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return bound or os.cpu_count() or 1


def share_of_time() -> float:
    """Processors' worth of time that this process's control group may use; infinite where none is set.

    Version 2 has "quota period" in one file, version 1 has a file for each (Linux, admin-guide/cgroup-v2 and
    scheduler/sched-bwc).
    """
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((CONTROL_GROUP / file).read_text() for file in files).split()
            if float(quota) > 0:  # -1 for none; version 2 says "max"
                return float(quota) / float(period)
        except (OSError, ValueError):
            continue
    return math.inf

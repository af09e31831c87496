"""What a machine is, as far as it bears on speed: facts to set beside every figure."""

from __future__ import annotations

import math
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import PIL

from crossfer import __version__
from crossfer.provenance import code_commit
from crossfer.stored import to_plain
from crossfer.system.cores import share_of_time, usable_cores
from crossfer.system.processor import cpu_name, instructions, read_cpuinfo, text_of

STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Machine:
    """Hardware, system and versions.

    Attributes:
        cpu: its name.
        cores: logical ones that this process may use, and has processor time for.
        cores_there: all of the machine.
        quota: processor time that the container may use, in cores; None for no limit.
        instructions: those of ``crossfer.system.processor.INSTRUCTIONS`` that it has; empty where the system
            does not tell.
        memory: bytes; None where the system does not tell.
        system: name and release, and the kind of processor.
        python: version.
        packages: versions by name.
        crossfer: version.
        commit: of the checkout, or ``unknown``.
    """

    cpu: str
    cores: int
    cores_there: int
    quota: float | None
    instructions: tuple[str, ...]
    memory: int | None
    system: str
    python: str
    packages: dict[str, str]
    crossfer: str
    commit: str

    @classmethod
    def here(cls) -> Machine:
        """This one, now."""
        cpuinfo = read_cpuinfo()
        return cls(
            cpu=cpu_name(cpuinfo),
            cores=usable_cores(),
            cores_there=os.cpu_count() or 1,
            quota=None if math.isinf(share := share_of_time()) else share,
            instructions=instructions(cpuinfo),
            memory=_memory(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            # Not what is installed under these names: ONNX Runtime comes as several distributions.
            packages={
                "onnxruntime": onnxruntime.__version__,
                "numpy": numpy.__version__,
                "pillow": PIL.__version__,
            },
            crossfer=__version__,
            commit=code_commit(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return to_plain(self)


@dataclass(frozen=True)
class Watch:
    """Looks at who takes the processors from its beginning on.

    Attributes:
        stat: text of ``/proc/stat`` at the beginning; empty where there is none.
        own: processor time in seconds that this process and its children had taken by then.
    """

    stat: str
    own: float

    @classmethod
    def begin(cls) -> Watch:
        """From now on."""
        return cls(text_of(STAT), _own_time())

    def others(self) -> float | None:
        """Share (0..1) of the processors that others took since; None where the system does not tell."""
        ticks = (_own_time() - self.own) * os.sysconf("SC_CLK_TCK") if self.stat else 0.0
        return share_of_others(self.stat, text_of(STAT), ticks)


def share_of_others(before: str, after: str, own: float) -> float | None:
    """Share (0..1) of processor time that others took between two readings of Linux's ``/proc/stat``.

    >>> share_of_others("cpu  100 0 0 800 100", "cpu  150 0 0 900 150", own=30)
    0.1

    Args:
        before: the first reading.
        after: the second.
        own: time in ticks that is one's own.
    """
    first, second = (re.match(r"cpu +([\d ]+)", text) for text in (before, after))
    if first is None or second is None:
        return None
    spent = [int(b) - int(a) for a, b in zip(first[1].split(), second[1].split(), strict=True)]
    # User, nice, system, idle, waiting for disks; time of guests, which come last, is in the first two.
    total, idle = sum(spent[:8]), sum(spent[3:5])
    return max(0.0, (total - idle - own) / total) if total > 0 else None


def _own_time() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None

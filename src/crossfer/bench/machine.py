"""What a machine is, as far as it bears on speed: facts to set beside every figure."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossfer import __version__
from crossfer.provenance import code_commit

LOOK = 0.5  # seconds for which the machine is watched
BUSY = 0.1  # share of the processors from which on others disturb
# Sets of instructions that ONNX Runtime's kernels choose between, as Linux calls them.
INSTRUCTIONS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)


@dataclass(frozen=True)
class Machine:
    """Hardware, system and versions.

    Attributes:
        cpu: its name.
        cores: logical ones that this process may use.
        cores_there: all of the machine.
        quota: processor time that the container may use, in cores; None for no limit.
        instructions: those of ``INSTRUCTIONS`` that it has; empty where the system does not tell.
        memory: bytes; None where the system does not tell.
        system: name and release, and the kind of processor.
        python: version.
        packages: versions by name.
        crossfer: version.
        commit: of the checkout, or ``unknown``.
        others: share (0..1) of the processors that others took before anything was measured; None where the
            system does not tell.
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
    others: float | None

    @classmethod
    def here(cls) -> Machine:
        """This one, now."""
        cpuinfo = _text(Path("/proc/cpuinfo"))
        return cls(
            cpu=cpu_name(cpuinfo),
            cores=usable_cores(),
            cores_there=os.cpu_count() or 1,
            quota=cpu_quota(_text(Path("/sys/fs/cgroup/cpu.max"))),
            instructions=instructions(cpuinfo),
            memory=_memory(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            packages={name: version(name) for name in ("onnxruntime", "numpy", "pillow")},
            crossfer=__version__,
            commit=code_commit(),
            others=_others(),
        )

    @property
    def threads(self) -> int:
        """As many as there is processor time for."""
        return self.cores if self.quota is None else max(1, min(self.cores, math.ceil(self.quota)))

    @property
    def busy(self) -> bool:
        """Others were at work, so that figures come out too low."""
        return self.others is not None and self.others > BUSY

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"instructions": list(self.instructions), "busy": self.busy}


def usable_cores() -> int:
    """Logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name(cpuinfo: str) -> str:
    r"""The processor's name, from the text of Linux's ``/proc/cpuinfo`` or from what the system has instead.

    >>> cpu_name("processor\t: 0\nmodel name\t: AMD  EPYC 9R14\n")
    'AMD EPYC 9R14'
    """
    found = re.search(r"^model name\s*: *(.+)$", cpuinfo, re.MULTILINE)
    name = found[1] if found else _brand() or platform.processor() or platform.machine()
    return " ".join(name.split()) or "unknown"


def instructions(cpuinfo: str) -> tuple[str, ...]:
    r"""Those of ``INSTRUCTIONS`` that the text of ``/proc/cpuinfo`` lists.

    >>> instructions("flags\t\t: fpu avx avx2 avx512f\n")
    ('avx2', 'avx512f')
    """
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    listed = set(found[1].split()) if found else set()
    return tuple(name for name in INSTRUCTIONS if name in listed)


def cpu_quota(limit: str) -> float | None:
    """Processor time in cores, from the text of a control group's ``cpu.max``.

    >>> cpu_quota("150000 100000"), cpu_quota("max 100000"), cpu_quota("")
    (1.5, None, None)
    """
    match limit.split():
        case [share, period] if share.isdigit() and period.isdigit() and int(period):
            return int(share) / int(period)
    return None


def busy_share(before: str, after: str) -> float | None:
    """Share (0..1) of processor time that was not idle between two readings of Linux's ``/proc/stat``.

    >>> busy_share("cpu  100 0 0 800 100", "cpu  150 0 0 900 150")
    0.25
    """
    first, second = (re.match(r"cpu +([\d ]+)", text) for text in (before, after))
    if first is None or second is None:
        return None
    spent = [int(b) - int(a) for a, b in zip(first[1].split(), second[1].split(), strict=True)]
    # User, nice, system, idle, waiting for disks; time of guests, which come last, is in the first two.
    return 1 - sum(spent[3:5]) / sum(spent[:8]) if sum(spent[:8]) > 0 else None


def _others() -> float | None:
    stat = Path("/proc/stat")
    before = _text(stat)
    if not before:
        return None
    time.sleep(LOOK)
    return busy_share(before, _text(stat))


def _brand() -> str:
    """The processor's name on macOS."""
    if sys.platform != "darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _text(path: Path) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

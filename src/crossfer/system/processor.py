"""Which processor this is: kernels are chosen by it, and now and then one of them is at fault."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

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


def processor() -> str:
    """Its name, and in brackets those of ``INSTRUCTIONS`` that it has: ``"AMD EPYC 9R14 (avx2)"``."""
    cpuinfo = read_cpuinfo()
    found = instructions(cpuinfo)
    return cpu_name(cpuinfo) + (f" ({', '.join(found)})" if found else "")


def read_cpuinfo() -> str:
    """What Linux says of its processors; nothing elsewhere."""
    return text_of(Path("/proc/cpuinfo"))


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


def text_of(path: Path) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _brand() -> str:
    """The processor's name on macOS."""
    if sys.platform != "darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()

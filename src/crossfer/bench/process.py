"""Fresh processes: how long they take, and how much memory they take at most."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

# -P: the folder that one happens to stand in is no place to import from.
PYTHON = (sys.executable, "-P")
COMMAND = (*PYTHON, "-m", "crossfer")
# Runs a command and prints the most memory that it held, in the system's unit. A process of its own, because
# on Linux the mark of a process begins with the size of the one that started it, and this one is small.
PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


class ProcessError(OSError):
    """A process that failed; the message holds its own last words."""


def run_to_end(command: Sequence[str]) -> str:
    """Runs a command and gives its standard output.

    Raises:
        ProcessError: if its exit status is not 0.
    """
    done = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise ProcessError(
            f"{shlex.join(command)}: expected it to succeed, found exit status {done.returncode}"
            + (f": {words[-1]}" if words else "")
        )
    return done.stdout


def can_tell_memory() -> bool:
    """Whether this system tells how much memory a process held."""
    return find_spec("resource") is not None


def peak_bytes(command: Sequence[str]) -> int:
    """The most memory that a command held in RAM at once, in bytes; of its largest process if it has several.

    Raises:
        ProcessError: if its exit status is not 0.
    """
    told = int(run_to_end([sys.executable, "-I", "-S", "-c", PEAK, *command]))
    return told if sys.platform == "darwin" else told * 1024

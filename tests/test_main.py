"""The start of the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
AS_A_FAULT = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt as error:
    raise ImportError("a bad install") from error
"""


@pytest.mark.parametrize("module", ["numpy", "typer", "onnxruntime"])
@pytest.mark.parametrize("content", [INTERRUPTED, AS_A_FAULT])
def test_an_interruption_while_modules_are_loaded_is_quiet(tmp_path: Path, module: str, content: str) -> None:
    """A stand-in for the module gets Ctrl-C as it is loaded; some modules take that for a fault of theirs."""
    (tmp_path / f"{module}.py").write_text(content)
    found = subprocess.run(
        [sys.executable, "-m", "crossfer", "predict", tmp_path, "--detector", "none"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests behind nohup ignore it
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"")


def test_the_installed_command_starts_here() -> None:
    (script,) = [s for s in entry_points(group="console_scripts") if s.name == "crossfer"]
    assert script.value == "crossfer.__main__:main"

"""The start of the command line."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image

from crossfer.cli import main
from support.command import run_main

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


class Stream(io.TextIOWrapper):
    """One in the encoding of a Western European Windows, which goes to a file or to a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="cp1252", errors="strict")
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "asked", "encoding"),
    [(False, None, "utf-8"), (False, "cp1252", "cp1252"), (True, None, "cp1252")],
)
def test_results_in_files_and_pipes_are_utf_8(
    terminal: bool, asked: str | None, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (48, 48)).save(tmp_path / "café-日.png")
    monkeypatch.setattr(sys, "stdout", stdout := Stream(terminal=terminal))
    monkeypatch.setattr(
        sys, "argv", ["crossfer", "predict", str(tmp_path), "--detector", "none", "--format", "csv"]
    )
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    if asked:
        monkeypatch.setenv("PYTHONIOENCODING", asked)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    written = stdout.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert ("café-日.png" if encoding == "utf-8" else r"café-\u65e5.png") in written


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["broken.png"], "crossfer.images.read.ImageError: "),
        (["--model", "none.onnx", "broken.png"], "crossfer.runtime.session.BundleError: "),
        (["https://example.org/a.jpg"], "crossfer.cli.errors.UsageError: "),
    ],
)
def test_a_traceback_comes_before_the_line_of_an_error_where_it_is_asked_for(
    words: list[str],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_text("no image")

    def said() -> tuple[object, str]:
        ended = run_main(monkeypatch, "predict", "--detector", "none", "-o", "results.csv", *words)
        return ended, capsys.readouterr().err

    monkeypatch.delenv("CROSSFER_TRACEBACK", raising=False)
    status, line = said()
    assert status
    assert "Traceback" not in line
    monkeypatch.setenv("CROSSFER_TRACEBACK", "1")
    again, long = said()
    assert long.startswith("Traceback (most recent call last):\n")
    assert f"\n{kind}" in long
    assert long.endswith(line)
    assert again in (status, 2)


def test_a_traceback_does_not_rule_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a\x1b[2J.png").write_text("no image")
    monkeypatch.setenv("CROSSFER_TRACEBACK", "1")
    assert run_main(monkeypatch, "predict", "--detector", "none", tmp_path) == 1
    assert "\x1b" not in capsys.readouterr().err

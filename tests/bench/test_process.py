"""Fresh processes: what they print, how they fail, and how much memory they took."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from crossfer.bench.process import COMMAND, ProcessError, peak_bytes, run_to_end

MB = 1_000_000


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_the_command_is_this_one_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "crossfer").mkdir()
    (tmp_path / "crossfer" / "__init__.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert run_to_end([*COMMAND, "--version"]).startswith("crossfer ")


def test_a_process_that_fails_is_named_with_its_last_words():
    with pytest.raises(ProcessError, match="found exit status 3: it broke"):
        run_to_end(python("import sys; print('first\\nit broke', file=sys.stderr); sys.exit(3)"))
    with pytest.raises(ProcessError, match="found exit status 1: no such model"):
        peak_bytes(python("import sys; sys.exit('no such model')"))


def test_memory_is_that_of_the_process_at_its_highest():
    script = "x = bytearray(200_000_000)\nfor i in range(0, len(x), 4096): x[i] = 1\ndel x"
    assert 200 * MB < peak_bytes(python(script)) < 240 * MB


def test_memory_of_a_small_process_is_not_that_of_the_large_one_that_started_it():
    large = np.ones(300 * MB, np.uint8)
    assert 1 * MB < peak_bytes(python("")) < 100 * MB
    assert large.all()

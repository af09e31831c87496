"""The Makefile's choice of an interpreter; nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")
RUNS, FAILS = "exit 0", "exit 127"  # as python does, and as a shim of pyenv for a version that is not active

pytestmark = pytest.mark.skipif(MAKE is None, reason="no make here")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def commands(checkout: Path, target: str, **pythons: str) -> list[str]:
    """What make would do where these interpreters, by the digits of their name, are all that there is."""
    folder = checkout / "bin"
    folder.mkdir()
    for digits, script in pythons.items():
        python = folder / f"python{digits.removeprefix('python').replace('_', '.')}"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    kept = {
        key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}
    }
    done = subprocess.run(
        [MAKE or "make", "-n", target], cwd=checkout, env=kept | {"PATH": str(folder)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3": RUNS, "python3_12": RUNS, "python3_14": RUNS}, "python3.12"),
        ({"python3": RUNS, "python3_11": FAILS, "python3_13": RUNS}, "python3.13"),
        ({"python3": RUNS, "python3_10": RUNS}, "python3"),
    ],
)
@pytest.mark.parametrize("folder", [".venv", ".venv-dev"])
def test_the_first_supported_python_that_runs_is_taken(checkout, folder, pythons, taken):
    assert commands(checkout, f"{folder}/installed", **pythons)[0] == f"{taken} -m venv --clear {folder}"


@pytest.mark.parametrize("folder", [".venv", ".venv-dev"])
def test_an_environment_that_was_whole_is_built_upon(checkout, folder):
    (checkout / folder).mkdir()
    (checkout / folder / "installed").touch()
    os.utime(checkout / folder / "installed", (0, 0))
    assert commands(checkout, f"{folder}/installed", python3=RUNS)[0].split() == [
        "python3", "-m", "venv", folder
    ]  # fmt: skip

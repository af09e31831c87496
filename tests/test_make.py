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
    made = f"{taken} -m venv {folder} && touch {folder}/begun"
    assert " ".join(commands(checkout, f"{folder}/installed", **pythons)[0].split()) == made


@pytest.mark.parametrize("folder", [".venv", ".venv-dev"])
@pytest.mark.parametrize(
    ("there", "options"),
    [((), []), (("installed",), []), (("begun",), ["--clear"]), (("installed", "begun"), ["--clear"])],
)
def test_only_what_a_failed_installation_left_is_cleared(checkout, folder, there, options):
    (checkout / folder).mkdir()
    for name in there:
        (checkout / folder / name).touch()
        os.utime(checkout / folder / name, (0, 0))
    first, *_, last = commands(checkout, f"{folder}/installed", python3=RUNS)
    assert first.split()[1:-3] == ["-m", "venv", *options, folder]
    assert last == f"mv {folder}/begun {folder}/installed"

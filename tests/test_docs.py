"""The docs agree with the code: commands are all there, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from crossfer.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


def test_the_command_reference_is_the_generated_one() -> None:
    generated = subprocess.run(
        [sys.executable, "-m", "typer", "crossfer.cli", "utils", "docs", "--name", "crossfer"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    written = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert written.split() == generated.split(), "run `make docs`"


def test_every_command_and_option_has_help() -> None:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"

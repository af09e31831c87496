"""The docs agree with the code: commands are all there, links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from crossfer.bench.tables import bench_text
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


def test_the_accuracy_table_is_the_one_that_its_command_writes(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    readme = (ROOT / "README.md").read_text("utf-8")
    page.write_text(re.sub(r"\| \*\*crossfer, `base`\*\*.*\n", "| stale |\n", readme), "utf-8")
    assert page.read_text("utf-8") != readme
    command = [sys.executable, str(ROOT / "docs" / "accuracy_table.py"), "--write", str(page)]
    subprocess.run(command, check=True)
    assert page.read_text("utf-8") == readme, "run `make docs`"


def test_figures_in_the_readme_are_those_of_the_result_file() -> None:
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    scores = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))
    clean = scores["leaks"]["clean"]
    assert f"**{100 * scores['accuracy']:.2f} %**" in readme
    assert f"ECE is {scores['ece']:.3f}" in readme
    assert f"Mean class accuracy is {100 * scores['mean_class_accuracy']:.2f} %" in readme
    assert f"without the {scores['leaks']['leaked']['n']} test images that also occur in train" in readme
    assert f"{100 * clean['accuracy']:.2f} % (n = {clean['n']:,})" in readme


def test_the_robustness_in_the_docs_is_that_of_the_result_file_of_the_embedded_model() -> None:
    found = json.loads((ROOT / "results/robustness/base-ferplus-valid.json").read_text("utf-8"))
    model = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))["model"]
    assert (found["model"], found["split"], found["n"]) == (model, "valid", 3199)
    page = (ROOT / "docs/evaluation.md").read_text("utf-8")
    for kind, accuracies in found["corruptions"]["accuracy"].items():
        rates = [f"{100 * x:.2f}" for x in (found["accuracy"], *accuracies)]
        assert f"| {' | '.join([kind, *rates])} |" in page
    assert f"mean over all 35 is {100 * found['corruptions']['mean']:.2f} %" in page


def test_the_speeds_in_the_docs_are_those_of_the_result_file_of_the_embedded_model() -> None:
    values = json.loads((ROOT / "results/bench/embedded.json").read_text("utf-8"))
    model = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))["model"]
    assert values["models"][0]["sha256"] == model["sha256"], "measure again: crossfer bench"
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    assert f"```\n{bench_text(values)}```" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"

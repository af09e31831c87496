"""Writes the tables of studies from their result files: of docs/*.md, or of the pages that are named.

    python docs/study_tables.py [PAGE ...]

A table stands between ``<!-- study: FOLDER less ROW -->`` and ``<!-- /study -->``: the results of
``results/FOLDER``, as ``crossfer ablate`` prints them, but for the seconds. Rows stay in the order in which
the page has them; new ones come last. Between ``<!-- study: intensity -->`` and ``<!-- /study -->`` stands
what ``crossfer intensity`` prints of ``results/intensity``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from crossfer.train.ablate import ablation_table
from crossfer.train.intensity import intensity_table, verdict
from crossfer.train.trial_result import TrialResult, read_result

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"(<!-- study: (\S+) less (\S+) -->\n)(.*?)(<!-- /study -->)", re.DOTALL)
INTENSITY = re.compile(r"(<!-- study: intensity -->\n).*?(<!-- /study -->)", re.DOTALL)


def results_of(study: str) -> list[TrialResult]:
    """All results of a study."""
    return [read_result(path) for path in sorted((ROOT / "results" / study).glob("*.json"))]


def table(results: list[TrialResult], reference: str, order: list[str]) -> str:
    """The table in Markdown; ``order`` names the rows that come first."""
    rows = sorted(
        {result.row for result in results}, key=lambda row: (row not in order, [*order, row].index(row))
    )
    lines = ablation_table(rows, results, reference).partition("\n\n")[0].splitlines()
    return "".join(line.rstrip("| ").rpartition(" | ")[0].rstrip() + " |\n" for line in lines)


def rewritten(page: str) -> str:
    """The page with its tables as the result files have them."""

    def replace(found: re.Match[str]) -> str:
        begin, folder, reference, before, end = found.groups()
        order = [line.split(" | ")[0].removeprefix("| ") for line in before.splitlines()[2:]]
        return f"{begin}{table(results_of(folder), reference, order)}{end}"

    def intensities(found: re.Match[str]) -> str:
        results = results_of("intensity")
        return f"{found[1]}{intensity_table(results)}\n{verdict(results)}{found[2]}"

    return INTENSITY.sub(intensities, PLACE.sub(replace, page))


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted((ROOT / "docs").glob("*.md"))):
        path.write_text(rewritten(path.read_text("utf-8")), "utf-8")

"""Writes the tables of studies from their result files: of docs/*.md, or of the pages that are named.

    python docs/study_tables.py [PAGE ...]

A table stands between ``<!-- study: FOLDER less ROW -->`` and ``<!-- /study -->``: the results of
``results/FOLDER``, as ``crossfer ablate`` prints them, but for the seconds. Rows stay in the order in which
the page has them; new ones come last.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from crossfer.train.ablate import ablation_table
from crossfer.train.study import read_result

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"(<!-- study: (\S+) less (\S+) -->\n)(.*?)(<!-- /study -->)", re.DOTALL)


def table(folder: Path, reference: str, order: list[str]) -> str:
    """The table in Markdown; ``order`` names the rows that come first."""
    results = [read_result(path) for path in sorted(folder.glob("*.json"))]
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
        return f"{begin}{table(ROOT / 'results' / folder, reference, order)}{end}"

    return PLACE.sub(replace, page)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted((ROOT / "docs").glob("*.md"))):
        path.write_text(rewritten(path.read_text("utf-8")), "utf-8")

"""Prints the differences of the ablation over all runs of "all" and "msr", those of the intensity study too.

    python docs/ablation_repeats.py

"whole" there is the recipe of "all", "classification" that of "msr", with the same seeds. "since" are the
runs of results/dead-channels, by code that leaves channels that are zero out of the clusters. The intervals
are Welch's at 95 %, with runs taken as independent. It needs SciPy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scipy import stats

RESULTS = Path(__file__).parents[1] / "results"
REPEATED = {"all": "whole", "msr": "classification"}
PAIRS = (
    ("all", "msr"),
    ("clfm", "msr"),
    ("lambda-stage-2", "all"),
    ("lambda-tenth", "all"),
    ("clfm", "all"),
    ("msr-dim-16", "all"),
    ("batch-mean-none", "all"),
    ("lambda-half", "all"),
    ("all since", "all"),
    ("clfm since", "clfm"),
    ("all since", "msr"),
    ("clfm since", "msr"),
)


def runs(row: str) -> list[float]:
    """Validation accuracy in percent of every run of a row's recipe."""
    if row.endswith(" since"):
        paths = [*RESULTS.glob(f"dead-channels/{row.removesuffix(' since')}-s*.json")]
    else:
        paths = [*RESULTS.glob(f"ablation/{row}-s*.json")]
        if row in REPEATED:
            paths += RESULTS.glob(f"intensity/{REPEATED[row]}-s*.json")
    return [100 * json.loads(path.read_text("utf-8"))["valid_accuracy"] for path in sorted(paths)]


def difference(row: str, other: str) -> str:
    """A row's mean less another's, with half the interval; * where it excludes zero."""
    test: Any = stats.ttest_ind(runs(row), runs(other), equal_var=False)
    low, high = test.confidence_interval(0.95)
    star = " *" if low * high > 0 else ""
    return f"{(low + high) / 2:+.2f} ± {(high - low) / 2:.2f}{star}"


if __name__ == "__main__":
    for row, other in PAIRS:
        sys.stdout.write(f"{row} less {other}: {difference(row, other)}\n")

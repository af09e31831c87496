"""Whether the whole loss raises the learning intensity of shallow stages more than controls do, in a study.

What is measured is said in :mod:`crossfer.train.gradient_probe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import mean

from crossfer.method.encoder import STAGES
from crossfer.train.config import Recipe
from crossfer.train.paired import paired_difference, plus_minus
from crossfer.train.trial_result import TrialResult

# Each condition, and what it changes in the recipe's [method].
CONDITIONS = {
    "classification": {"lambdas": (0.0, 0.0, 0.0)},
    "whole": {},
    "permuted": {"target": "permuted"},
    "random": {"target": "random"},
}


def conditions(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """A recipe without the cross-layer terms, with them, and with either control."""
    return [
        (name, recipe.model_copy(update={"method": recipe.method.model_copy(update=changes)}))
        for name, changes in CONDITIONS.items()
    ]


def ratio(result: TrialResult, of: str = "maps") -> float:
    """Mean intensity of stages 1 to 3 over that of stage 4, averaged over the epochs of a run."""
    rows = result.observed["intensity"]
    return mean(mean(row[of][:3]) / row[of][3] for row in rows)


def intensity_table(results: Sequence[TrialResult]) -> str:
    """Markdown: for each condition the intensity of every stage, the ratio, and the accuracy beside it."""
    lines = [
        "| condition | seeds | measured on | I_1 | I_2 | I_3 | I_4 | shallow / deep | valid accuracy % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in CONDITIONS:
        mine = [r for r in results if r.row == name]
        if not mine:
            lines.append(f"| {name} | not run |" + " |" * 7)
            continue
        accuracy = plus_minus([100 * r.valid_accuracy for r in mine], 2)
        for of in ("maps", "parameters"):
            stages = [
                mean(mean(row[of][j] for row in r.observed["intensity"]) for r in mine) for j in range(STAGES)
            ]
            cells = " | ".join(f"{value:.2e}" for value in stages)
            shares = plus_minus([ratio(r, of) for r in mine], 3)
            lines.append(f"| {name} | {len(mine)} | {of} | {cells} | {shares} | {accuracy} |")
    return "\n".join(lines) + "\n"


def verdict(results: Sequence[TrialResult]) -> str:
    """Whether the whole loss raises both ratios and the accuracy more than the controls do, seed by seed.

    The claim holds if that is so in every one of at least three seeds.
    """
    by_row = {name: {r.seed: r for r in results if r.row == name} for name in CONDITIONS}
    seeds = sorted(set.intersection(*(set(rows) for rows in by_row.values())))
    if len(seeds) < 3:
        return f"Not settled: {len(seeds)} seeds have all four conditions; three are needed.\n"
    others = ("classification", "permuted", "random")
    lines, holds = [], True
    figures = (
        ("ratio on maps", ratio),
        ("ratio on parameters", partial(ratio, of="parameters")),
        ("valid accuracy", lambda result: result.valid_accuracy),
    )
    for label, figure in figures:
        for other in others:
            above = sum(figure(by_row["whole"][s]) > figure(by_row[other][s]) for s in seeds)
            holds &= above == len(seeds)
            lines.append(f"- {label}: the whole loss is above {other} in {above} of {len(seeds)} seeds")
    for other in others:
        difference = paired_difference(list(by_row["whole"].values()), list(by_row[other].values()))
        if difference is not None and difference.margin is not None:
            lines.append(
                f"- accuracy, whole less {other}: {100 * difference.mean:+.2f} "
                f"± {100 * difference.margin:.2f} points (95 %, paired over {difference.seeds} seeds)"
            )
    head = "Claim 1 holds" if holds else "Claim 1 does not hold"
    return f"{head} under this recipe.\n\n" + "\n".join(lines) + "\n"

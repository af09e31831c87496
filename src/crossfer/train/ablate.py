"""Ablation: what each part and each choice of the method is worth, over seeds, on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from crossfer.train.config import Recipe, RecipeError
from crossfer.train.paired import Metric, paired_difference, plus_minus
from crossfer.train.recipe_file import load_recipe
from crossfer.train.trial_result import TrialResult

# Heads of their columns; a metric that no run has noted has none.
METRICS: dict[Metric, str] = {
    "valid_accuracy": "valid accuracy %",
    "valid_mean_class_accuracy": "mean over the classes %",
}
# Of ``[optim]``: what a run costs. How it learns in that time is a choice that rows may differ in.
BUDGET = ("epochs", "batch_size", "accumulate", "precision")


def load_rows(paths: Sequence[Path]) -> list[tuple[str, Recipe]]:
    """One row a recipe, named after it.

    Raises:
        RecipeError: if a recipe cannot be used, two have one name, or they differ in faces or budget.
    """
    rows = [(recipe.name, recipe) for recipe in map(load_recipe, paths)]
    names = [name for name, _ in rows]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"two recipes are called {name!r}; a row needs a name of its own")
    held = _held_equal(rows[0][1])
    for name, recipe in rows[1:]:
        for key, value in _held_equal(recipe).items():
            if value != held[key]:
                raise RecipeError(
                    f"recipe {name!r} differs from {names[0]!r} in {key}; "
                    "rows are compared on the same faces and budget"
                )
    return rows


def _held_equal(recipe: Recipe) -> dict[str, object]:
    """What rows must have in common, by key: the faces, and how often and in what precision they are seen."""
    data = {f"data.{key}": value for key, value in recipe.data if key != "target"}
    return data | {f"optim.{key}": getattr(recipe.optim, key) for key in BUDGET}


def ablation_table(rows: Sequence[str], results: Sequence[TrialResult], reference: str) -> str:
    """Markdown: accuracies of each row, and their differences from the reference paired by seed.

    What the reference's results do not note has no column: nothing could be compared with it.

    Args:
        rows: names in the order of the table; one without results is said to be not run.
        results: what was run.
        reference: the row that the others are compared with.
    """
    by_row = {row: [r for r in results if r.row == row] for row in rows}
    compared = by_row.get(reference) or results
    noted: list[Metric] = [m for m in METRICS if any(getattr(r, m) is not None for r in compared)]
    metrics = noted or ["valid_accuracy"]
    columns = "".join(f" {METRICS[m]} | less {reference} (95 %, paired) |" for m in metrics)
    lines = [f"| row | seeds |{columns} seconds a run |", "| --- " * (3 + 2 * len(metrics)) + "|"]
    for row, found in by_row.items():
        if not found:
            lines.append(f"| {row} | 0 | not run |" + " |" * 2 * len(metrics))
            continue
        cells = [row, str(len(found))]
        for metric in metrics:
            cells += [
                _accuracy(found, metric),
                "" if row == reference else _difference(found, by_row.get(reference, []), metric),
            ]
        seconds = mean(r.seconds for r in found)
        lines.append(f"| {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines) + "\n\n" + _budget(by_row, reference)


def _accuracy(found: Sequence[TrialResult], metric: Metric) -> str:
    values = [100 * value for r in found if (value := getattr(r, metric)) is not None]
    return plus_minus(values, 2) if values else "not noted"


def _difference(found: Sequence[TrialResult], reference: Sequence[TrialResult], metric: Metric) -> str:
    difference = paired_difference(found, reference, metric)
    if difference is None:
        return "no seed in both"
    if difference.margin is None:
        return f"{100 * difference.mean:+.2f} (one seed)"
    mark = " *" if difference.excludes_zero else ""
    return f"{100 * difference.mean:+.2f} ± {100 * difference.margin:.2f}{mark}"


def _budget(by_row: dict[str, list[TrialResult]], reference: str) -> str:
    """What was held equal, and the smallest difference that such a budget can detect."""
    some = next((found[0] for found in by_row.values() if found), None)
    if some is None:
        return "Nothing has been run yet.\n"
    margins = [
        difference.margin
        for row, found in by_row.items()
        if row != reference
        and (difference := paired_difference(found, by_row.get(reference, []))) is not None
        and difference.margin is not None
    ]
    text = (
        f"{some.train_n:,} training faces, {some.epochs} epochs, accuracy of the averaged weights after the "
        f"last epoch on {some.valid_n:,} validation faces; ± is the standard deviation over seeds, in the "
        "differences half the 95 % interval (Student's t); * marks those that exclude zero."
    )
    if margins:
        typical = median(margins)
        text += (
            f" The median of the intervals is ± {100 * typical:.1f} points: about the smallest difference "
            "that this budget can detect."
        )
    return text + "\n"

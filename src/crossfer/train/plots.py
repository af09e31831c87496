"""Pictures of studies, by matplotlib (the extra ``report``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from crossfer.figure import BLUE, ORANGE, PURPLE, picture
from crossfer.method.encoder import STAGES
from crossfer.system.atomic import write_atomically
from crossfer.train.intensity import CONDITIONS
from crossfer.train.paired import paired_difference
from crossfer.train.trial_result import TrialResult

COLORS = {"classification": "#000000", "whole": BLUE, "permuted": ORANGE, "random": PURPLE}


def plot_intensity(results: Sequence[TrialResult], path: Path) -> None:
    """Intensity by epoch, on the maps above and on the parameters below, a column a stage.

    Bands run from the lowest to the highest seed.
    """
    figure, axes = _canvas(2, STAGES, width=3.2 * STAGES, height=6.2)
    for row, of in zip(axes, ("maps", "parameters"), strict=True):
        for j, axis in enumerate(row):
            _draw_stage(axis, results, of, j)
        row[0].set_ylabel(f"learning intensity on the {of}")
    for j in range(STAGES):
        axes[0][j].set_title(f"stage {j + 1}")
        axes[-1][j].set_xlabel("epoch")
    axes[0][-1].legend(frameon=False, fontsize=8)
    _save(figure, path)


def _draw_stage(axis: Any, results: Sequence[TrialResult], of: str, j: int) -> None:
    """The curve of each condition, on maps or parameters, at the stage of index ``j``."""
    for name in CONDITIONS:
        runs = [r.observed["intensity"] for r in results if r.row == name]
        if not runs:
            continue
        curves = list(zip(*([row[of][j] for row in run] for run in runs), strict=False))
        epochs = range(1, len(curves) + 1)
        axis.plot(epochs, [mean(c) for c in curves], color=COLORS[name], label=name)
        lowest, highest = [min(c) for c in curves], [max(c) for c in curves]
        axis.fill_between(epochs, lowest, highest, color=COLORS[name], alpha=0.2, linewidth=0)
    axis.set_yscale("log")


def plot_ablation(rows: Sequence[str], results: Sequence[TrialResult], reference: str, path: Path) -> None:
    """Difference of each row from the reference in points: a dot a seed, the mean, and the 95 % interval."""
    by_row = {row: [r for r in results if r.row == row] for row in rows}
    drawn = [row for row in rows if by_row[row] and row != reference]
    base = {r.seed: r.valid_accuracy for r in by_row.get(reference, [])}
    figure, ((axis,),) = _canvas(1, 1, width=7, height=1.2 + 0.38 * len(drawn))
    for y, row in enumerate(reversed(drawn)):
        points = [100 * (r.valid_accuracy - base[r.seed]) for r in by_row[row] if r.seed in base]
        difference = paired_difference(by_row[row], by_row.get(reference, []))
        if difference is None:
            continue
        axis.plot(points, [y] * len(points), "o", color="#9FAAB5", markersize=4)
        error = 100 * (difference.margin or 0)
        axis.errorbar(100 * difference.mean, y, xerr=error, fmt="D", color=BLUE, capsize=3, markersize=5)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(drawn)), list(reversed(drawn)))
    axis.set_xlabel(
        f"validation accuracy less '{reference}', points\nmean, 95 % interval over seeds; dots: seeds"
    )
    _save(figure, path)


def _canvas(rows: int, columns: int, *, width: float, height: float) -> tuple[Any, Any]:
    """A figure, and its axes by row and column."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only drawing needs it

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    write_atomically(path, picture(figure, path.suffix[1:].lower(), dpi=150))

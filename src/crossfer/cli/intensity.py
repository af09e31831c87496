"""``crossfer intensity``: how much gradient reaches each stage, with and without the cross-layer terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import need_extra, need_other
from crossfer.cli.options import Override, StudyResults, StudyRuns, TableFile, TableOnly, TrainRoot
from crossfer.cli.output import give, need_plot
from crossfer.system.writable import need_file


def intensity(
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, such as recipes/ablation/all.toml.")],
    root: TrainRoot = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each condition, with seeds 0, 1, ...")] = 3,
    set_: Override = None,
    results: StudyResults = Path("results/intensity"),
    runs: StudyRuns = Path("runs/intensity"),
    output: TableFile = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw intensity by epoch (.png, .svg, .pdf).")
    ] = None,
    table_only: TableOnly = False,
) -> None:
    """Measure learning intensity by stage and epoch, under the whole loss and its controls.

    The recipe is trained four times a seed: with the classification loss alone, with the whole loss, and with
    two controls whose targets mean nothing but pull as hard (centroids of other images; random directions).
    """
    need_extra("train")
    need_file("--output", output)
    need_other("--output", output, [recipe])
    need_plot(plot, output)
    from crossfer.console import stderr_console
    from crossfer.train.intensity import conditions, intensity_table, verdict
    from crossfer.train.plots import plot_intensity
    from crossfer.train.recipe_file import load_recipe
    from crossfer.train.study import run_study, trials
    from crossfer.train.trial_result import read_results

    plan = load_recipe(recipe, set_ or ())
    if not any(plan.method.lambdas) or plan.method.target != "clusters":
        raise ValueError(f"{recipe}: expected a recipe with the cross-layer terms and target = 'clusters'")
    if plan.variant == "released":
        raise ValueError(
            f"{recipe}: expected variant = 'corrected', found 'released', whose loss has no controls"
        )
    rows = conditions(plan)
    found = read_results(results, rows, observed="intensity")
    if not table_only:
        console, planned = stderr_console(), trials(rows, range(seeds))
        run_study(planned, root=root, results=results, runs=runs, console=console, probe=True)
        found = read_results(results, rows, observed="intensity")
    text = intensity_table(found) + "\n" + verdict(found)
    give(text, output)
    if plot is not None:
        plot_intensity(found, plot)

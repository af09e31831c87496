"""``crossfer ablate``: recipes that differ in one thing each in, a table out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import need_extra, need_other
from crossfer.cli.options import StudyResults, StudyRuns, TableFile, TableOnly, TrainRoot
from crossfer.cli.output import give, need_plot
from crossfer.system.writable import need_file


def ablate(
    recipes: Annotated[list[Path], typer.Argument(help="TOML recipes, one a row: recipes/ablation/*.toml.")],
    root: TrainRoot = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row, with seeds 0, 1, ...")] = 3,
    reference: Annotated[
        str, typer.Option(metavar="ROW", help="The row that the others are compared with.")
    ] = "all",
    results: StudyResults = Path("results/ablation"),
    runs: StudyRuns = Path("runs/ablation"),
    output: TableFile = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the rows with error bars (.png, .svg, .pdf).")
    ] = None,
    table_only: TableOnly = False,
) -> None:
    """Train rows of recipes over seeds and compare them on validation data.

    A study that is stopped goes on where it was: finished runs are kept as result files, an unfinished one
    resumes from its last whole epoch.
    """
    need_extra("train")
    need_file("--output", output)
    need_other("--output", output, recipes)
    need_plot(plot, output)
    from crossfer.console import stderr_console
    from crossfer.train.ablate import ablation_table, load_rows
    from crossfer.train.plots import plot_ablation
    from crossfer.train.study import run_study, trials
    from crossfer.train.trial_result import read_results

    rows = load_rows(recipes)
    names = [name for name, _ in rows]
    if reference not in names:
        raise ValueError(f"--reference {reference}: expected one of the rows {', '.join(names)}")
    found = read_results(results, rows)
    if not table_only:
        run_study(trials(rows, range(seeds)), root=root, results=results, runs=runs, console=stderr_console())
        found = read_results(results, rows)
    table = ablation_table(names, found, reference)
    give(table, output)
    if plot is not None:
        plot_ablation(names, found, reference, plot)

"""``crossfer compare``: several runs in, what they say together out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import UsageError, need_other
from crossfer.cli.options import ResultFile, ResultForm
from crossfer.cli.output import give, result_form
from crossfer.system.writable import need_file


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs of one recipe, as evaluate --predictions writes them.")
    ],
    with_: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="RUN", help="A run of the other side; repeat it for more seeds."),
    ] = None,
    format_: ResultForm = None,
    output: ResultFile = None,
) -> None:
    """Set runs on the same images side by side.

    Runs without --with: mean and standard deviation. One against one: a paired test of two networks. Several
    against several: two recipes, over seeds and images.
    """
    need_file("--output", output)
    need_other("--output", output, [*runs, *(with_ or ())])
    times = Counter(map(os.path.realpath, [*runs, *(with_ or ())]))
    if twice := [path for path, count in times.items() if count > 1]:
        raise UsageError(f"{twice[0]}: expected each run once, found it {times[twice[0]]} times; name others")
    from crossfer.console import as_json, as_text
    from crossfer.evaluate.comparison import aggregate, compare_networks, compare_recipes
    from crossfer.evaluate.result import plain
    from crossfer.evaluate.run_file import read_run
    from crossfer.evaluate.tables import comparison_tables

    first, second = [read_run(path) for path in runs], [read_run(path) for path in with_ or ()]
    if not second:
        result = aggregate(first)
        values = plain(result)
    else:
        if len(first) == len(second) == 1:
            (a,), (b,) = first, second
            alike = a.name == b.name  # as where each lies in a folder of its own
            names = (str(runs[0]), str(with_[0])) if alike and with_ else (a.name, b.name)
            result = compare_networks(a.predictions, b.predictions, names)
        else:
            result = compare_recipes(first, second)
        values = {**plain(result), "statement": result.statement}
    text = as_json(values) if result_form(format_, output) == "json" else as_text(comparison_tables(result))
    give(text, output)

"""``crossfer report``: runs in, a page out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import UsageError, need_extra, need_other, need_suffix
from crossfer.cli.output import remark, to_file
from crossfer.printable import counted
from crossfer.system.writable import need_file


def report(
    runs: Annotated[list[Path], typer.Argument(help="Runs, as evaluate --predictions writes them.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write: .html, .md or .json says in which form."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="The model of the runs: draws its evidence over the examples."
        ),
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(help="Show faces, if the images still lie where they were."),
    ] = True,
) -> None:
    """Write one self-contained page about one or several runs: tables, curves, examples by rule."""
    form = output.suffix.lower()
    need_suffix("--output", output, ".html", ".htm", ".md", ".json")
    need_file("--output", output)
    need_other("--output", output, runs)
    if form.startswith(".htm"):
        need_extra("report")
    from crossfer.evaluate.report import html_report, json_report, markdown_report
    from crossfer.evaluate.run_file import read_run

    found = [read_run(path) for path in runs]
    names: dict[str, Path] = {}
    for run, path in zip(found, runs, strict=True):
        if (other := names.setdefault(run.name, path)) is not path:
            raise UsageError(
                f"expected runs whose files have different names, found {other} and {path}; rename one"
            )
    if form == ".json":
        text = json_report(found)
    elif form == ".md":
        text = markdown_report(found)
    else:
        from crossfer.evaluate.illustrations import example_pictures, figures_of

        text = html_report(
            found, figures_of(found), example_pictures(found, model, remark) if examples else {}
        )
    to_file(text, output)
    typer.echo(f"{output}: {counted(len(found), 'run')}, {len(text) / 1e6:.1f} MB")

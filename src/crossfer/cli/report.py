"""``crossfer report``: runs in, a page out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfer.cli.errors import UsageError, need_extra, need_other, need_suffix
from crossfer.cli.output import counted, remark, to_file
from crossfer.runtime.writable import need_file

if TYPE_CHECKING:
    from crossfer.evaluate.examples import Example
    from crossfer.evaluate.run_file import Run


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
        text = html_report(found, _figures(found), _examples(found, model) if examples else {})
    to_file(text, output)
    typer.echo(f"{output}: {counted(len(found), 'run')}, {len(text) / 1e6:.1f} MB")


def _figures(runs: list[Run]) -> dict[str, list[tuple[str, bytes]]]:
    from crossfer.evaluate import figures

    found = {"": [("Risk and coverage: errors among the surest answers", figures.risk_coverage_figure(runs))]}
    for run in runs:
        pictures = [("Confusion: rows are the truth", figures.confusion_figure(run.result))]
        if run.predictions.answered.any():
            pictures.append(("Reliability, 15 bins of equal mass", figures.reliability_figure(run)))
        if "corruptions" in run.result:
            pictures.append(
                ("Robustness: accuracy by strength of corruption", figures.robustness_figure(run.result))
            )
        if run.predictions.answered.sum() > 10:
            pictures.append(("Map of the logits by t-SNE, coloured by truth", figures.map_figure(run)))
        found[run.name] = pictures
    return found


def _examples(runs: list[Run], model: str | None) -> dict[str, list[tuple[Example, bytes]]]:
    from crossfer.evaluate.examples import choose_examples
    from crossfer.evaluate.figures import face_picture
    from crossfer.runtime.recognizer import Recognizer

    recognizer = None if model is None else Recognizer(model, detector="none")
    shown = {}
    for run in runs:
        about = run.predictions.about
        same = recognizer is not None and recognizer.sha256 == about.model_sha256
        if recognizer is not None and not same:
            remark(f"{run.name} is of another model: shown without evidence")
        usable = recognizer if same and about.detector == "none" else None
        chosen = choose_examples(run.predictions, usable)
        at_hand = [example for example in chosen if example.pixels is not None]
        if len(at_hand) < len(chosen):
            remark(
                f"{run.name}: {len(chosen) - len(at_hand)} of {len(chosen)} examples are not "
                f"shown: no image at {next(e.path for e in chosen if e.pixels is None)}"
            )
        shown[run.name] = [(e, face_picture(e.pixels, e.evidence)) for e in at_hand if e.pixels is not None]
    return shown

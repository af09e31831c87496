"""One page about one or several runs: HTML that needs nothing else, or Markdown, or JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import combinations

from crossfer.console import as_json
from crossfer.evaluate.comparison import compare_networks
from crossfer.evaluate.corruptions import STRENGTHS
from crossfer.evaluate.examples import Example
from crossfer.evaluate.result import EvaluationResult
from crossfer.evaluate.robustness import curves
from crossfer.evaluate.run_file import Run, RunError
from crossfer.evaluate.tables import decimal, per_hundred, result_tables, span
from crossfer.page import Rows, html_page, html_table
from crossfer.runtime.percent import percent


def json_report(runs: Sequence[Run]) -> str:
    """The results of all runs, their curves, and what they say together, one object."""
    page = {
        "runs": {run.name: run.result.to_dict() for run in runs},
        "robustness": {
            run.name: {"strength": [0, *STRENGTHS], "accuracy": curves(run.result)}
            for run in runs
            if curves(run.result)
        },
        "comparisons": _statements(runs),
    }
    return as_json(page)


def markdown_report(runs: Sequence[Run]) -> str:
    """The tables alone, for a repository or a paper's appendix."""
    parts = ["# Evaluation report", _markdown_table(*_overview(runs)), *_statements(runs)]
    for run in runs:
        parts += [f"## {run.name}", _headline(run.result)]
        for title, heading, rows in _tables(run.result):
            parts += [f"### {title}", _markdown_table(heading, rows)]
        parts.append(f"Made by `{_origin(run.result)}`.")
    return "\n\n".join(parts) + "\n"


def html_report(
    runs: Sequence[Run],
    figures: Mapping[str, Sequence[tuple[str, bytes]]],
    examples: Mapping[str, Sequence[tuple[Example, bytes]]],
) -> str:
    """A page with everything in it: no script, no network.

    Args:
        runs: what to report.
        figures: for each run's name titles and PNG files; under ``""`` those about all runs.
        examples: for each run's name examples with their pictures.
    """
    body = ["<h1>Evaluation report</h1>", html_table("All runs", *_overview(runs))]
    body += [f"<p>{escape(statement)}</p>" for statement in _statements(runs)]
    body += [_html_figure(title, png) for title, png in figures.get("", ())]
    for run in runs:
        body += [f"<h2>{escape(run.name)}</h2>", f"<p>{escape(_headline(run.result))}</p>"]
        for title, heading, rows in _tables(run.result):
            body += [f"<h3>{escape(title)}</h3>", html_table(f"{run.name}: {title}", heading, rows)]
        body += [_html_figure(title, png) for title, png in figures.get(run.name, ())]
        body += _html_examples(examples.get(run.name, ()))
        body.append(f'<p class="note">Made by <code>{escape(_origin(run.result))}</code></p>')
    return html_page("Evaluation report", body)


def _headline(result: EvaluationResult) -> str:
    about = result.about
    return (
        f"{about.model} (SHA-256 {about.model_sha256[:12]}) on {about.data} {about.split}, protocol "
        f"{about.protocol}, n = {result.n:,}, detector {about.detector}: accuracy "
        f"{per_hundred(result.accuracy)} % (95 % interval {span(result.interval)})."
    )


def _origin(result: EvaluationResult) -> str:
    origin = result.provenance
    if origin is None:
        return "unknown"
    return f"{origin.command} (crossfer {origin.version}, commit {origin.commit})"


def _overview(runs: Sequence[Run]) -> tuple[Sequence[str], Rows]:
    heading = ("run", "n", "accuracy %", "95 % interval", "mean class %", "macro F1 %", "NLL", "ECE", "AURC")
    return heading, [
        (
            run.name,
            f"{run.result.n:,}",
            per_hundred(run.result.accuracy),
            span(run.result.interval),
            per_hundred(run.result.mean_class_accuracy),
            per_hundred(run.result.macro_f1),
            decimal(run.result.nll),
            decimal(run.result.ece),
            decimal(run.result.aurc),
        )
        for run in runs
    ]


def _statements(runs: Sequence[Run]) -> list[str]:
    """What may be said about each pair of runs on the same images."""
    found = []
    for first, second in combinations(runs, 2):
        try:
            names = first.name, second.name
            found.append(compare_networks(first.predictions, second.predictions, names).statement)
        except RunError as error:
            found.append(f"{first.name} and {second.name} cannot be compared: {error}.")
    return found


def _tables(result: EvaluationResult) -> Iterator[tuple[str, Sequence[str], Rows]]:
    """The tables of a result, with titles that begin as headings of a page do."""
    for title, heading, rows in result_tables(result):
        yield title[0].upper() + title[1:], heading, rows
    labels = result.about.labels
    yield (
        "Confusion: rows are the truth, columns the answers",
        ("true", *labels),
        [
            (name, *(f"{count:,}" for count in row))
            for name, row in zip(labels, result.confusion, strict=True)
        ],
    )


def _markdown_table(heading: Sequence[str], rows: Rows) -> str:
    lines = [heading, ["---"] + ["---:"] * (len(heading) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html_figure(title: str, png: bytes, kind: str = "") -> str:
    # The caption would be read out twice; the figures themselves stand in the tables or in the run's file.
    picture = f'<img alt="" src="data:image/png;base64,{b64encode(png).decode()}">'
    return f'<figure class="{kind}">{picture}<figcaption>{escape(title)}</figcaption></figure>'


def _html_examples(examples: Sequence[tuple[Example, bytes]]) -> Iterator[str]:
    if not examples:
        return
    yield "<h3>Examples</h3>"
    yield (
        '<p class="note">By rule: for each class the most confident right and the most confident wrong '
        "answer. Orange speaks for the answer, blue against it. Pictures are read from the data on this "
        "machine: mind its licence before you pass this page on.</p>"
    )
    for example, png in examples:
        verdict = "right" if example.truth == example.predicted else f"taken for {example.predicted}"
        yield _html_figure(f"{example.truth}, {verdict} ({percent(example.confidence)})", png, "face")

"""What ``crossfer evaluate`` does once model and data are at hand."""

from __future__ import annotations

import json
from io import StringIO
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossfer.data.sample import Dataset
from crossfer.evaluate.evaluation import evaluate
from crossfer.runtime.recognizer import Recognizer

TEXT_WIDTH = 100  # the same wherever the text goes: eight classes fit


def run_evaluation(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    detector: Literal["centerface", "none"],
    form: Literal["text", "json"],
) -> str:
    """Evaluates, with a progress bar if stderr is a terminal, and names on stderr what the data set left out.

    Args:
        recognizer: the model.
        dataset: labelled images.
        detector: as for ``evaluate``.
        form: ``"json"`` for one object on one line, ``"text"`` for tables.

    Returns:
        The result, ending with a newline.
    """
    console = Console(stderr=True)
    for reason in dataset.skipped:
        console.print(f"left out: {reason}", markup=False, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        result = evaluate(
            recognizer, dataset, detector=detector, progress=lambda done: bar.advance(task, done)
        )
    if form == "json":
        return json.dumps(result.to_dict()) + "\n"
    page = Console(file=StringIO(), width=TEXT_WIDTH, highlight=False)
    with page.capture() as capture:
        page.print(result.to_tables())
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"

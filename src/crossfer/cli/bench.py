"""``crossfer bench``: models and a photo in, how fast they are here out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import need_other
from crossfer.cli.options import MODELS, ResultFile, ResultForm
from crossfer.cli.output import give, remark, result_form
from crossfer.defaults import MAX_THREADS
from crossfer.system.writable import need_file


def bench(
    photo: Annotated[
        Path | None,
        typer.Argument(
            metavar="PHOTO",
            help="A photo with a face, scaled to 640 and 1920 px. [default: a portrait that is installed]",
            show_default=False,
        ),
    ] = None,
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f"{MODELS} Repeat it to compare more with the first.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_THREADS,
            metavar="N",
            help="The most to use. [default: all cores]",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer batches in fewer rounds.")] = False,
    format_: ResultForm = None,
    output: ResultFile = None,
) -> None:
    """Measure how fast crossfer is on this machine; nothing else should be running.

    From a 48 px face to logits by batch and threads, from photo to answer, from start to end of the command,
    and memory: medians with quartiles, models in turn. Needs no network and no data set.
    """
    need_file("--output", output)
    from crossfer.bench.run import run_bench
    from crossfer.bench.tables import bench_text
    from crossfer.console import as_json
    from crossfer.runtime.bundle import resolve_model

    models = model or ["default"]
    need_other("--output", output, [photo, *map(resolve_model, models)])
    with _progress() as tell:
        result = run_bench(models, photo, threads=threads, quick=quick, tell=tell)
    values = result.to_dict()
    text = as_json(values) if result_form(format_, output) == "json" else bench_text(values)
    give(text, output)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """What to call between measurements: a bar on stderr if it is a terminal, else a line a section."""
    from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn

    from crossfer.console import bars, stderr_console

    columns = (
        "measuring {task.description}",
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        "left",
    )
    # It is drawn between measurements alone: a bar that draws itself would take time from them.
    with bars(stderr_console(), *columns, auto_refresh=False) as shown:
        task = shown.add_task("")

        def tell(section: str, done: int, total: int) -> None:
            if done == 0:
                shown.reset(task, description=section)
                if shown.disable:
                    remark(f"measuring {section}")
            shown.update(task, completed=done, total=total or None, refresh=True)

        yield tell

"""``crossfer score``: a corpus in, a Parquet data set out, however often it is interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossfer.cli.errors import UsageError, need_extra
from crossfer.cli.options import (
    Abstain,
    Coverage,
    Detector,
    DetectorSide,
    MinFaceScore,
    Model,
    need_detector,
)
from crossfer.cli.output import remark
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE, MOST_IN_A_SHARD, SHARD_SIZE
from crossfer.printable import one_line

if TYPE_CHECKING:
    from crossfer.scale.run import Progress

TELL_EACH = 30.0  # seconds between lines where there is no terminal to draw a bar on


def score(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Folders to search; lists (.txt) and tables (.csv, .parquet) that name images; "
            "zip and tar files; Parquet files with a column of images. Paths, patterns, or addresses (s3://...).",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", file_okay=False, metavar="DIR", help="Folder of the run.")
    ],
    model: Model = "default",
    detector: Detector = "centerface",
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
    coverage: Coverage = None,
    abstain: Abstain = False,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of a table that names or holds the images. [default: the usual names]",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: processes on this machine; ray: Ray, here or on the cluster at --address."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT|auto", help="Join this Ray cluster instead of starting one here."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes. [default: one a core]", show_default=False),
    ] = None,
    shard_size: Annotated[
        int,
        typer.Option(min=1, max=MOST_IN_A_SHARD, metavar="N", help="Most images in one part of the output."),
    ] = SHARD_SIZE,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, or begin it if there is none.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Also write DIR/report.html; without INPUT, only that, of a run so far."
        ),
    ] = False,
) -> None:
    """Score a collection of any size: one row a face, nothing lost, nothing twice.

    Ends well at any moment: what is finished is kept, and --resume goes on. An image that cannot be used
    becomes a row that says why. An expression is what a face shows, not what a person feels.
    """
    need_extra("scale")
    need_detector(detector, min_face_score, detector_side)
    from crossfer.scale.report import write_report
    from crossfer.scale.run import ScoreOptions
    from crossfer.scale.run import score as run
    from crossfer.scale.text import summary_lines

    if not inputs:
        if not report:
            raise UsageError("INPUT: expected an input, or --report for a run that is there")
        typer.echo(str(write_report(output)))
        return
    options = ScoreOptions(
        tuple(inputs),
        output,
        model=model,
        detector=detector,
        min_face_score=min_face_score,
        detector_side=detector_side,
        coverage=coverage,
        abstain=abstain,
        column=column,
        shard_size=shard_size,
        engine="ray" if address else engine,
        workers=workers,
        address=address,
        resume=resume,
    )
    with _told_how_to_go_on(output), _progress() as tell:
        summary = run(options, tell)
    for line in summary_lines(summary, output):
        typer.echo(line)
    if report:
        typer.echo(str(write_report(output)))


@contextmanager
def _told_how_to_go_on(output: Path) -> Iterator[None]:
    """Says how to go on if a run is stopped after it began."""
    from crossfer.scale.faults import InputGoneError
    from crossfer.scale.output import RUN
    from crossfer.scale.summary import write_summary

    how = "go on with the same command and --resume"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what schedulers send is a Ctrl-C too
    try:
        yield
    except KeyboardInterrupt:
        if (output / RUN).exists():
            summary = write_summary(output)
            remark(
                f"stopped; {summary['shards']:,} of {summary['plan']['shards']:,} parts are done "
                f"and stay as they are; {how}"
            )
        raise
    except InputGoneError as error:
        raise InputGoneError(f"{error}; what is done stays as it is; {how}") from error
    except OSError as error:
        begun = (output / RUN).exists()
        kept = f"; what is done stays as it is; {how}" if begun else ""
        place = output if error.filename is None else None
        raise OSError(one_line(error, place) + kept) from error


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """What to call with where the run stands: a bar on a terminal, a line now and then elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn

    from crossfer.console import bars, stderr_console

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[pace]}")
    last = time.monotonic()
    with bars(stderr_console(), *columns) as shown:
        task = shown.add_task("listing", total=None, pace="")

        def tell(progress: Progress) -> None:
            nonlocal last
            done, total, pace = progress.done, progress.entries, _pace(progress)
            shown.update(task, description=progress.stage, total=total, completed=done, pace=pace)
            if shown.disable and time.monotonic() - last >= TELL_EACH:
                last = time.monotonic()
                remark(_line(progress))

        yield tell


def _line(progress: Progress) -> str:
    of = "" if progress.entries is None else f" of {progress.entries:,}"
    return f"{progress.stage}, {progress.done:,}{of} images {_pace(progress)}".rstrip()


def _pace(progress: Progress) -> str:
    """Images a second in this stint and the time left at that rate; nothing before there is a rate."""
    if progress.entries is None or not progress.images:
        return ""
    rate = progress.images / max(progress.seconds, 1e-9)
    left = timedelta(seconds=round((progress.entries - progress.done) / rate))
    return f"{rate:,.1f} images/s, {left} left"

"""``crossfer video``: a video in, the expressions of the people in it over time out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossfer.cli.errors import UsageError, need_extra, usage
from crossfer.cli.options import Abstain, DetectorSide, MinFaceScore, Model, Threads
from crossfer.cli.output import remark, tell_written, terminal_width, to_stdout
from crossfer.defaults import (
    DETECT_EVERY,
    DETECTOR_SIDE,
    LEAST_COVERAGE,
    MIN_FACE_SCORE,
    MOST_COVERAGE,
    MOST_EVERY,
    MOST_SECONDS,
    SMOOTHING,
)
from crossfer.printable import counted, printable, without_password

if TYPE_CHECKING:
    from crossfer.video.command import Outcome
    from crossfer.video.options import VideoOptions
    from crossfer.video.rows import RowFormat
    from crossfer.video.source import VideoSource


def video(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A file; the number of a camera, as in 0; or the address of a stream: rtsp, rtmp, http.",
        ),
    ],
    *,
    format_: Annotated[
        Literal["text", "json", "csv", "parquet"] | None,
        typer.Option(
            "--format",
            help="A table of the people; or a row a frame and person. [default: what the name of the output "
            "says, else text]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write rows here: .jsonl, .csv or .parquet says in which form."),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a copy of the video, with its sound: .mp4, .mov or .mkv."),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(file_okay=False, metavar="DIR", help="Draw a picture a person into this folder."),
    ] = None,
    model: Model = "default",
    detect_every: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_EVERY,
            metavar="K",
            help="Look for faces in every K-th frame; between, they are followed.",
        ),
    ] = DETECT_EVERY,
    every: Annotated[
        float,
        typer.Option(
            min=0,
            max=MOST_SECONDS,
            metavar="SECONDS",
            help="Recognise only one frame in so many seconds; 0 for all frames.",
        ),
    ] = 0,
    smoothing: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Time constant of the smoothed expressions; 0 for none."),
    ] = SMOOTHING,
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=LEAST_COVERAGE,
            max=MOST_COVERAGE,
            metavar="SHARE",
            help="Also give, for each frame alone, the set that holds the true expression this often.",
        ),
    ] = None,
    abstain: Abstain = False,
    threads: Threads = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Stop after so many seconds of video.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run with the same options was interrupted.")
    ] = False,
) -> None:
    """Recognise the expressions of the people in a video, from frame to frame.

    Results go to stdout, everything else to stderr. Ctrl-C or SIGTERM ends a camera or stream, and
    interrupts a file, which --resume goes on with. Exit status 1 if a file was damaged or cut off; what is
    there is still answered. An expression is what a face shows, not what a person feels.
    """
    need_extra("video")
    _need_video()
    form = _row_format(format_, output)
    if form == "parquet":
        need_extra("data")
    from crossfer.runtime.recognizer import Recognizer
    from crossfer.video.command import run_video
    from crossfer.video.options import VideoOptions
    from crossfer.video.recognize import VideoSettings

    with usage():
        settings = VideoSettings(detect_every, smoothing, min_face_score, every)
        options = VideoOptions(form, output, annotate, timeline, resume, seconds, settings)
    recognizer = Recognizer(
        model, threads=threads, coverage=coverage, abstain=abstain, detector_side=detector_side
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what schedulers send is a Ctrl-C too
    with _progress(seconds) as progress:
        outcome = run_video(source, recognizer, options, write=to_stdout, progress=progress)
    if outcome is None:
        there = f"{output or annotate or timeline} is there, and nothing is unfinished"
        remark(f"{there}; leave out --resume to make it anew")
        return
    _report(source, outcome, options)


def _need_video() -> None:
    """Stop with one line if what the extra brings is there but cannot be loaded."""
    try:
        import crossfer.video  # noqa: F401
    except ImportError as error:
        raise ValueError(str(error)) from error


def _row_format(given: Literal["text"] | RowFormat | None, output: Path | None) -> RowFormat | None:
    """The form of the rows; None if there are to be none."""
    from crossfer.video.rows import SUFFIXES

    named = None if output is None else SUFFIXES.get(output.suffix.lower())
    if output is None:
        if given == "parquet":
            raise UsageError("--format parquet: expected a file to write, found none; give --output FILE")
        return None if given == "text" else given
    if given == "text":
        raise UsageError(
            "--format text: is for standard output; give --output a name ending in .jsonl or .csv"
        )
    if given is None and named is None:
        raise UsageError(
            f"--output {output}: expected a name that ends in {', '.join(SUFFIXES)}; or say --format"
        )
    return given or named


def _report(source: str, outcome: Outcome, options: VideoOptions) -> None:
    """The table if no rows are wanted, what was written, what the user should know, and the exit status."""
    if outcome.interrupted:
        way_on = "; ".join(outcome.notes)
        remark(f"interrupted after {outcome.seconds:.1f} s; {way_on}")
        raise typer.Exit(130)
    if options.format is None:
        to_stdout(_summary(source, outcome))
    _tell(outcome, options)
    for note in outcome.notes:
        remark(note)
    if outcome.problem is not None:
        remark(outcome.problem)
        raise typer.Exit(1)


def _tell(outcome: Outcome, options: VideoOptions) -> None:
    from crossfer.video.command import MOST_TIMELINES

    frames, pictures = counted(outcome.frames, "frame"), min(len(outcome.people), MOST_TIMELINES)
    tell_written(
        (options.output, f"{frames}, {_people(outcome)}"),
        (options.annotate, frames),
        (options.timeline, counted(pictures, "picture")),
    )


def _people(outcome: Outcome) -> str:
    seen = len(outcome.people)
    return "no face found" if not seen else "1 person" if seen == 1 else f"{seen:,} people"


def _summary(source: str, outcome: Outcome) -> str:
    from crossfer.video.people import clock, people_table

    pace = outcome.worked / max(outcome.elapsed, 1e-6)
    length = f"{counted(outcome.frames, 'frame')}, {clock(outcome.seconds)}"
    heading = f"{printable(without_password(source))}  {length}, {_people(outcome)}  ({pace:.0f} frames/s)\n"
    return heading + (people_table(outcome.people, terminal_width()) if outcome.people else "")


@contextmanager
def _progress(seconds: float | None) -> Iterator[Callable[[VideoSource], None]]:
    """What to call after each frame: a bar on stderr, up to so many seconds, if it is a terminal."""
    from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn

    from crossfer.console import bars, stderr_console

    pace = "{task.fields[pace]:5.1f} frames/s"
    columns = ("recognising", BarColumn(), pace, TimeElapsedColumn(), TimeRemainingColumn(), "left")
    with bars(stderr_console(), *columns) as shown:
        task = shown.add_task("", total=None, pace=0.0)
        frames = count(1)

        def after(source: VideoSource) -> None:
            pace = next(frames) / max(shown.tasks[0].elapsed or 0.0, 1e-3)
            total = min(filter(None, (source.duration, seconds)), default=None)
            shown.update(task, total=total, completed=source.end, pace=pace)

        yield after

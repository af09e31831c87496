"""``crossfer predict``: photos in, expressions out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from crossfer.cli.errors import UsageError, need_other, show_traceback, usage
from crossfer.cli.options import (
    Abstain,
    Coverage,
    Detector,
    DetectorSide,
    MinFaceScore,
    Model,
    Threads,
    need_detector,
)
from crossfer.cli.output import remark, tell_written, terminal_width, to_file, to_stdout
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE
from crossfer.printable import counted
from crossfer.system.writable import need_file

Form = Literal["text", "json", "csv"]
FORMS: dict[str, Form] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".txt": "text",
    "": "text",
}


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders to search to the bottom, or - for standard input.")
    ],
    *,
    format_: Annotated[
        Form | None,
        typer.Option(
            "--format",
            help="A table; JSON Lines, one object an image; or CSV, one row a face. [default: as the name of "
            "--output ends; else text]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write results here, not to stdout.")
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(file_okay=False, metavar="DIR", help="Draw each image with its faces into this folder."),
    ] = None,
    model: Model = "default",
    detector: Detector = "centerface",
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Give only the K likeliest expressions of a face.")
    ] = None,
    coverage: Coverage = None,
    abstain: Abstain = False,
    threads: Threads = None,
) -> None:
    """Recognise the expressions of the faces in images.

    Results go to stdout, everything else to stderr. Exit status 1 if an image could not be used; the others
    are still answered. An expression is what a face shows, not what a person feels.
    """
    from crossfer.images.files import passed_over_in_words
    from crossfer.runtime.command import STANDARD_INPUT, drawing_paths, list_images, recognize_files
    from crossfer.runtime.fonts import boxes_in_words
    from crossfer.runtime.recognizer import Recognizer
    from crossfer.runtime.results import result_format

    _need_files(paths)
    need_detector(detector, min_face_score, detector_side)
    form = format_ or _form_of(output)
    need_file("--output", output)
    recognizer = Recognizer(
        model,
        detector,
        min_face_score,
        threads,
        coverage=coverage,
        abstain=abstain,
        detector_side=detector_side,
    )
    images, passed_over = list_images(paths)
    need_other("--output", output, (image for image in images if image is not STANDARD_INPUT))
    if passed_over:
        remark(passed_over_in_words(passed_over))
    drawings, labels = drawing_paths(images, annotate), recognizer.meta.labels
    if annotate is not None and (boxes := boxes_in_words(labels)):
        remark(boxes)
    shown = result_format(
        form, labels, top_k=top_k, columns=terminal_width(output), sets=coverage is not None, answers=abstain
    )
    kept: list[str] = []
    write = to_stdout if output is None else kept.append
    write(shown.header)
    faces: list[int | None] = []
    errors = 0
    for done in recognize_files(recognizer, images, drawings, passed_over):
        write(shown.entry(done.result))
        faces.append(None if done.result.error else len(done.result.faces))
        if done.error is not None:
            errors += 1
            show_traceback(done.error)
            remark(done.message)
    if output is not None:
        to_file("".join(kept), output)
    tell_written((output, _found(faces)), (annotate, counted(len(images) - errors, "picture")))
    if errors:
        raise typer.Exit(1)


def _need_files(paths: Sequence[str]) -> None:
    """Refuse what can be no file or folder, before any work is done."""
    from crossfer.images.read import refuse_text

    if paths.count("-") > 1:
        raise UsageError("PATHS: standard input (-) can be read once only")
    for path in paths:
        with usage():
            refuse_text(path)
        if "://" in path and not os.path.lexists(path):
            raise UsageError(f"{path}: addresses are not fetched; use curl -L ADDRESS | crossfer predict -")


def _form_of(output: Path | None) -> Form:
    """The form that a file's name asks for; text where results go to standard output."""
    suffix = "" if output is None else output.suffix.lower()
    if suffix not in FORMS:
        names = ", ".join(filter(None, FORMS))
        raise UsageError(f"--output {output}: expected a name that ends in {names}; or say --format")
    return FORMS[suffix]


def _found(faces: Sequence[int | None]) -> str:
    """How many faces there are in images, in words; None for an image that could not be used."""
    parts = [counted(len(faces), "image"), counted(sum(filter(None, faces)), "face")]
    parts += [
        f"{count:,} {what}"
        for count, what in ((faces.count(0), "without a face"), (faces.count(None), "with an error"))
        if count
    ]
    return ", ".join(parts)

"""``crossfer predict``: photos in, expressions out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from crossfer.cli.errors import UsageError, need_other, one_line, show_traceback
from crossfer.cli.options import (
    Abstain,
    Coverage,
    Detector,
    DetectorSide,
    MinFaceScore,
    Model,
    need_detector,
)
from crossfer.cli.output import counted, remark, tell_written, terminal_width, to_file, to_stdout
from crossfer.defaults import DETECTOR_SIDE, MAX_THREADS, MIN_FACE_SCORE
from crossfer.runtime.writable import need_file

if TYPE_CHECKING:
    import numpy as np

    from crossfer.runtime.recognizer import Recognizer
    from crossfer.runtime.results import ImageResult

Task = TypeVar("Task")
STANDARD_INPUT = Path("-")  # this object alone: a file may be called so too
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
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_THREADS,
            metavar="N",
            help="CPU threads for each of detector and model. [default: one a core]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Recognise the expressions of the faces in images.

    Results go to stdout, everything else to stderr. Exit status 1 if an image could not be used; the others
    are still answered. An expression is what a face shows, not what a person feels.
    """
    from crossfer.runtime.files import annotated_paths, find_images, in_words
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
    passed_over: list[Path] = []
    images: list[Path] = []
    for path in paths:
        images += [STANDARD_INPUT] if path == "-" else find_images([Path(path)], passed_over)
    need_other("--output", output, (image for image in images if image is not STANDARD_INPUT))
    if passed_over:
        remark(in_words(passed_over))
    drawings: Sequence[Path | None] = [None] * len(images)
    if annotate is not None:
        annotate.mkdir(parents=True, exist_ok=True)
        named = [Path("stdin") if image is STANDARD_INPUT else image for image in images]
        drawings = annotated_paths(named, annotate)
    shown = result_format(
        form,
        recognizer.meta.labels,
        top_k=top_k,
        columns=terminal_width(output),
        sets=coverage is not None,
        answers=abstain,
    )
    kept: list[str] = []
    write = to_stdout if output is None else kept.append
    write(shown.header)
    emptied = {folder for path in passed_over for folder in path.parents}
    faces: list[int | None] = []
    drawn = errors = 0
    for image, drawing in _with_progress(list(zip(images, drawings, strict=True))):
        result, wrong = _recognize_file(recognizer, image, drawing, nothing_left=image in emptied)
        write(shown.entry(result))
        faces.append(None if result.error else len(result.faces))
        if wrong is not None:
            errors += 1
            remark(wrong)
        elif drawing is not None:
            drawn += 1
    if output is not None:
        to_file("".join(kept), output)
    tell_written((output, _found(faces)), (annotate, counted(drawn, "picture")))
    if errors:
        raise typer.Exit(1)


def _need_files(paths: Sequence[str]) -> None:
    """Refuse what can be no file or folder, before any work is done."""
    if paths.count("-") > 1:
        raise UsageError("PATHS: standard input (-) can be read once only")
    for path in paths:
        if "://" in path and not os.path.lexists(path):
            raise UsageError(f"{path}: addresses are not fetched; use curl -L ADDRESS | crossfer predict -")


def _form_of(output: Path | None) -> Form:
    """The form that a file's name asks for; text where results go to standard output."""
    suffix = "" if output is None else output.suffix.lower()
    if suffix not in FORMS:
        names = ", ".join(filter(None, FORMS))
        raise UsageError(f"--output {output}: expected a name that ends in {names}; or say --format")
    return FORMS[suffix]


def _recognize_file(
    recognizer: Recognizer, path: Path, drawing: Path | None, *, nothing_left: bool
) -> tuple[ImageResult, str | None]:
    """The faces in one image file, drawn to ``drawing`` if given, and what went wrong, if anything did.

    With ``nothing_left`` the path is a folder whose pictures are all passed over.
    """
    from crossfer.runtime.annotate import annotate, save_png
    from crossfer.runtime.image import ImageError, load_image
    from crossfer.runtime.results import ImageResult

    try:
        if nothing_left:
            raise ImageError(
                f"{path}: no images left in this folder to look at; name files, or another folder"
            )
        image = load_image(path) if path is not STANDARD_INPUT else _read_standard_input()
        faces = recognizer.recognize(image)
    except (ValueError, OSError, MemoryError) as error:
        show_traceback(error)
        wrong = one_line(error, path)
        return ImageResult(path, error=wrong), wrong
    result = ImageResult(path, image.shape[1], image.shape[0], tuple(faces))
    try:
        if drawing is not None:
            save_png(annotate(image, faces, recognizer.meta.input.crop), drawing)
    except (ValueError, OSError, MemoryError) as error:
        show_traceback(error)
        return result, one_line(error, drawing)
    return result, None


def _found(faces: Sequence[int | None]) -> str:
    """How many faces there are in images, in words; None for an image that could not be used."""
    parts = [counted(len(faces), "image"), counted(sum(filter(None, faces)), "face")]
    parts += [
        f"{count:,} {what}"
        for count, what in ((faces.count(0), "without a face"), (faces.count(None), "with an error"))
        if count
    ]
    return ", ".join(parts)


def _read_standard_input() -> np.ndarray:
    from crossfer.runtime.image import MAX_BYTES, ImageError, decode

    if sys.stdin is None:
        raise ImageError("-: expected an image from standard input, found it closed")
    return decode(sys.stdin.buffer.read(MAX_BYTES + 1), "-")


def _with_progress(tasks: Sequence[Task]) -> Iterator[Task]:
    """The tasks one by one, with a progress bar on stderr if there are several and it is a terminal."""
    from crossfer.console import counting, stderr_console

    if len(tasks) < 2:
        yield from tasks
        return
    with counting(stderr_console(), "recognising", len(tasks)) as advance:
        for task in tasks:
            yield task
            advance(1)

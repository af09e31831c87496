"""What ``crossfer predict`` does once its options are read."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from crossfer.console import counting, stderr_console
from crossfer.images.files import annotated_paths, find_images
from crossfer.images.read import MAX_BYTES, ImageError, decode, load_image
from crossfer.printable import one_line
from crossfer.runtime.annotate import annotate, save_png
from crossfer.runtime.bundle import BundleError
from crossfer.runtime.recognizer import Recognizer
from crossfer.runtime.results import ImageResult

STANDARD_INPUT = Path("-")  # this object alone: a file may be called so too
Task = TypeVar("Task")


@dataclass(frozen=True)
class Recognized:
    """What came of one image.

    Attributes:
        result: its faces, or why there are none.
        error: what went wrong with the image or its drawing; None if nothing did.
        message: that in one line.
    """

    result: ImageResult
    error: Exception | None = None
    message: str = ""


def list_images(words: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """The images that words of the command line mean, and what was passed over, as ``find_images`` has it.

    ``-`` is standard input.
    """
    images: list[Path] = []
    passed_over: list[Path] = []
    for word in words:
        images += [STANDARD_INPUT] if word == "-" else find_images([Path(word)], passed_over)
    return images, passed_over


def drawing_paths(images: Sequence[Path], folder: Path | None) -> Sequence[Path | None]:
    """Where each image is drawn, in a folder that is made; None for each where there is to be none.

    Raises:
        OSError: if the folder cannot be made.
    """
    if folder is None:
        return [None] * len(images)
    folder.mkdir(parents=True, exist_ok=True)
    return annotated_paths([Path("stdin") if image is STANDARD_INPUT else image for image in images], folder)


def recognize_files(
    recognizer: Recognizer,
    images: Sequence[Path],
    drawings: Sequence[Path | None],
    passed_over: Iterable[Path] = (),
) -> Iterator[Recognized]:
    """What comes of each image, in order, with a bar on a terminal; one that cannot be used stops no other.

    Args:
        recognizer: finds and recognises the faces.
        images: as ``list_images`` gives them.
        drawings: for each image the PNG to draw it to, or None.
        passed_over: as ``list_images`` gives it; a folder with nothing else in it says so.

    Raises:
        BundleError: if the model gives no usable answer.
    """
    emptied = {folder for path in passed_over for folder in path.parents}
    for image, drawing in _with_progress(list(zip(images, drawings, strict=True))):
        yield _recognize(recognizer, image, drawing, emptied)


def _recognize(
    recognizer: Recognizer, path: Path, drawing: Path | None, emptied: Collection[Path]
) -> Recognized:
    try:
        image = _read(path, emptied)
        faces = recognizer.recognize(image)
    except BundleError:
        raise  # the model is at fault, and no image
    except (ValueError, OSError, MemoryError) as error:
        message = one_line(error, path)
        return Recognized(ImageResult(path, error=message), error, message)
    result = ImageResult(path, image.shape[1], image.shape[0], tuple(faces))
    try:
        if drawing is not None:
            save_png(annotate(image, faces, recognizer.meta.input.crop), drawing)
    except (ValueError, OSError, MemoryError) as error:
        return Recognized(result, error, one_line(error, drawing))
    return Recognized(result)


def _read(path: Path, emptied: Collection[Path]) -> np.ndarray:
    if path is not STANDARD_INPUT:
        if path in emptied:
            raise ImageError(
                f"{path}: no images left in this folder to look at; name files, or another folder"
            )
        return load_image(path)
    if sys.stdin is None:
        raise ImageError("-: expected an image from standard input, found it closed")
    return decode(sys.stdin.buffer.read(MAX_BYTES + 1), "-")


def _with_progress(tasks: Sequence[Task]) -> Iterator[Task]:
    """The tasks one by one, with a progress bar on stderr if there are several and it is a terminal."""
    if len(tasks) < 2:
        yield from tasks
        return
    with counting(stderr_console(), "recognising", len(tasks)) as advance:
        for task in tasks:
            yield task
            advance(1)

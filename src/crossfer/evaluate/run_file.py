"""A run: the result of an evaluation and the answer to each image, in one file of JSON Lines.

The first line is the result as ``crossfer evaluate --format json`` writes it, with ``"run": 1`` before it.
Each other line is an image: ``path``, ``digest``, ``truth``, ``predicted`` (null where no face was found),
``logits`` and ``probabilities`` in the order of the result's ``labels`` (null likewise), and ``votes`` where
the data set has them. Any tool that reads JSON Lines reads it; nothing has to be unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.console import as_json
from crossfer.evaluate.predictions import Predictions
from crossfer.evaluate.result import EvaluationResult
from crossfer.evaluate.run_check import check_figures, check_image, read_head
from crossfer.system.atomic import write_atomically

FORMAT = 1
MAX_BYTES = 1 << 31


class RunError(ValueError):
    """A run's file that cannot be used, or runs that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Run:
    """An evaluation as it was saved.

    Attributes:
        name: of its file, without suffix.
        result: its figures, rounded as the file holds them.
        predictions: the answers that it was made from.
    """

    name: str
    result: EvaluationResult
    predictions: Predictions


def write_run(result: EvaluationResult, predictions: Predictions, path: Path) -> None:
    """Writes a run whole or not at all.

    Raises:
        OSError: if the folder does not exist or cannot be written.
    """
    head = as_json({"run": FORMAT, **result.to_dict()})
    write_atomically(path, "".join((head, *_image_lines(predictions))).encode())


def _image_lines(predictions: Predictions) -> Iterator[str]:
    names = predictions.about.labels
    answered, predicted = predictions.answered, predictions.predicted
    for i, path in enumerate(predictions.paths):
        values: dict[str, Any] = {
            "path": path,
            "digest": predictions.digests[i],
            "truth": names[predictions.truth[i]],
            "predicted": names[predicted[i]] if answered[i] else None,
            "logits": [float(str(x)) for x in predictions.logits[i]] if answered[i] else None,
            "probabilities": [round(x, 9) for x in predictions.probabilities[i].tolist()]
            if answered[i]
            else None,
        }
        if predictions.votes is not None:
            values["votes"] = [round(x, 6) for x in predictions.votes[i].tolist()]
        yield as_json(values)


def read_run(path: Path) -> Run:
    """Reads a run.

    Raises:
        RunError: if the file is missing, no run, cut off, or does not agree with itself: a figure or an
            image that is not as ``write_run`` writes it, an image twice, or counts and an accuracy that the
            images do not give; the message names the line where there is one.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such run; write one with: crossfer evaluate ... --predictions {path}")
    if path.stat().st_size > MAX_BYTES:
        raise RunError(f"{path}: expected a run of at most {MAX_BYTES >> 30} GiB, found more")
    try:
        with path.open(encoding="utf-8") as file:
            result = _head(next(file, ""), path)
            images = _images(file, result.about.labels, path)
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: expected UTF-8 text, found other bytes; write it again") from error
    try:
        check_figures(result, images)
    except ValueError as error:
        raise RunError(f"{path}: {error}; write it again") from error
    return Run(path.stem, result, _predictions(result, images))


def _head(line: str, path: Path) -> EvaluationResult:
    head = _object(line, path, 1)
    if head.get("run") != FORMAT or "labels" not in head:
        raise RunError(
            f"{path}: expected a run as crossfer evaluate --predictions writes it, found another file"
        )
    try:
        return read_head(head)
    except ValueError as error:
        raise RunError(f"{path}, line 1: {error}; write it again") from error


def _images(lines: Iterable[str], labels: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """The images from line 2 on, each checked by itself and against those before it."""
    images: list[dict[str, Any]] = []
    places: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=2):
        image = _object(line, path, number)
        try:
            check_image(image, labels)
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {error}; write it again") from error
        first = places.setdefault((image["path"], image["digest"]), number)
        if first != number:
            raise RunError(
                f"{path}, line {number}: expected each image once, found that of line {first} again"
            )
        if ("votes" in image) != ("votes" in (images or [image])[0]):
            raise RunError(f"{path}, line {number}: expected votes with every image or none, found some")
        images.append(image)
    return images


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise RunError(f"{path}, line {number}: expected a JSON object, found other text") from error
    except RecursionError as error:
        raise RunError(f"{path}, line {number}: expected a JSON object, found brackets too deep") from error
    except ValueError as error:
        raise RunError(f"{path}, line {number}: expected finite numbers, found {error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}, line {number}: expected a JSON object, found {type(values).__name__}")
    return values


def _refuse(constant: str) -> None:
    """NaN and the infinities, which Python's reader takes and JSON does not know."""
    raise ValueError(constant)


def _predictions(result: EvaluationResult, images: list[dict[str, Any]]) -> Predictions:
    labels = result.about.labels
    missing = [None] * len(labels)
    shape = (len(images), len(labels))
    return Predictions(
        result.about,
        paths=tuple(str(image["path"]) for image in images),
        digests=tuple(str(image["digest"]) for image in images),
        truth=np.array([labels.index(image["truth"]) for image in images], np.int64),
        logits=np.array([image["logits"] or missing for image in images], np.float32).reshape(shape),
        probabilities=np.array([image["probabilities"] or missing for image in images], float).reshape(shape),
        votes=np.array([image["votes"] for image in images], float).reshape(shape)
        if "votes" in images[0]
        else None,
        skipped=result.skipped,
    )

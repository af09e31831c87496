"""A run: the result of an evaluation and the answer to each image, in one file of JSON Lines.

The first line is the result as ``crossfer evaluate --format json`` writes it, with ``"run": 1`` before it.
Each other line is an image: ``path``, ``digest``, ``truth``, ``predicted`` (null where no face was found),
``logits`` and ``probabilities`` in the order of the result's ``labels`` (null likewise), and ``votes`` where
the data set has them. Any tool that reads JSON Lines reads it; nothing has to be unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.evaluate.predictions import Predictions, Subject
from crossfer.evaluate.result import EvaluationResult
from crossfer.runtime.atomic import write_atomically

FORMAT = 1
MAX_BYTES = 1 << 31


class RunError(ValueError):
    """A run's file that cannot be used, or runs that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Run:
    """An evaluation as it was saved.

    Attributes:
        name: of its file, without suffix.
        result: as ``EvaluationResult.to_dict`` gives it.
        predictions: the answers that it was made from.
    """

    name: str
    result: Mapping[str, Any]
    predictions: Predictions


def write_run(result: EvaluationResult, predictions: Predictions, path: Path) -> None:
    """Writes a run whole or not at all.

    Raises:
        OSError: if the folder does not exist or cannot be written.
    """
    head = json.dumps({"run": FORMAT, **result.to_dict()})
    write_atomically(path, "".join(f"{line}\n" for line in (head, *_image_lines(predictions))).encode())


def _image_lines(predictions: Predictions) -> Iterator[str]:
    names = predictions.subject.labels
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
        yield json.dumps(values)


def read_run(path: Path) -> Run:
    """Reads a run.

    Raises:
        RunError: if the file is missing, no run, cut off, or does not agree with itself; the message names
            the line.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such run; write one with: crossfer evaluate ... --predictions {path}")
    if path.stat().st_size > MAX_BYTES:
        raise RunError(f"{path}: expected a run of at most {MAX_BYTES >> 30} GiB, found more")
    try:
        with path.open(encoding="utf-8") as file:
            head = _object(next(file, ""), path, 1)
            if head.pop("run", None) != FORMAT or "labels" not in head:
                raise RunError(
                    f"{path}: expected a run as crossfer evaluate --predictions writes it, found another file"
                )
            images = [_object(line, path, number) for number, line in enumerate(file, start=2)]
        predictions = _predictions(head, images)
    except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path}: expected a whole run, found a damaged one ({error!r})") from error
    if len(predictions) != head["n"]:
        raise RunError(f"{path}: expected {head['n']:,} images, found {len(predictions):,}; write it again")
    return Run(path.stem, head, predictions)


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise RunError(f"{path}, line {number}: expected a JSON object, found other text") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}, line {number}: expected a JSON object, found {type(values).__name__}")
    return values


def _predictions(head: Mapping[str, Any], images: list[dict[str, Any]]) -> Predictions:
    labels = tuple(head["labels"])
    missing = [None] * len(labels)
    subject = Subject(
        head["data"],
        head["split"],
        head["protocol"],
        head["detector"],
        head["model"]["name"],
        head["model"]["sha256"],
        labels,
    )
    shape = (len(images), len(labels))
    return Predictions(
        subject,
        paths=tuple(str(image["path"]) for image in images),
        digests=tuple(str(image["digest"]) for image in images),
        truth=np.array([labels.index(image["truth"]) for image in images], np.int64),
        logits=np.array([image["logits"] or missing for image in images], np.float32).reshape(shape),
        probabilities=np.array([image["probabilities"] or missing for image in images], float).reshape(shape),
        votes=np.array([image["votes"] for image in images], float).reshape(shape)
        if all("votes" in image for image in images)
        else None,
        skipped=tuple(head["skipped"]["reasons"]),
    )

"""Examples by rule: for each class the most confident right and the most confident wrong answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfer.data.fingerprint import pixel_digest
from crossfer.data.sample import DataError
from crossfer.data.tree import ZipTree
from crossfer.evaluate.predictions import Predictions
from crossfer.images.read import ImageError, load_image
from crossfer.runtime.recognizer import Recognizer

_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f])")


@dataclass(frozen=True)
class Example:
    """An image and the answer to it.

    Attributes:
        path: where it lies.
        truth: its expression.
        predicted: the answer.
        confidence: of the answer, in 0..1.
        pixels: uint8 RGB (H, W, 3); None if the image is not at hand, or has other pixels than the answer
            was given to.
        evidence: (G, G), for the answer beyond the mean of all classes; None without a model.
    """

    path: str
    truth: str
    predicted: str
    confidence: float
    pixels: np.ndarray | None
    evidence: np.ndarray | None


def choose_examples(predictions: Predictions, recognizer: Recognizer | None = None) -> list[Example]:
    """At most two a class, in class order, the right one first.

    Args:
        predictions: the answers.
        recognizer: the model that gave them, on face crops; draws the evidence anew.
    """
    confidence, right = predictions.confidence, predictions.right
    chosen = []
    for k in range(len(predictions.about.labels)):
        for outcome in (True, False):
            rows = np.flatnonzero((predictions.truth == k) & (right == outcome) & predictions.answered)
            if len(rows):
                chosen.append(int(rows[np.argmax(confidence[rows])]))
    return [_example(predictions, row, recognizer) for row in chosen]


def _example(predictions: Predictions, row: int, recognizer: Recognizer | None) -> Example:
    labels, path = predictions.about.labels, predictions.paths[row]
    pixels, evidence = read_again(path), None
    if pixels is not None and pixel_digest(pixels).tobytes().hex() != predictions.digests[row]:
        pixels = None  # changed since; or a face was cut out of it, and run files hold no boxes
    if pixels is not None and recognizer is not None:
        (answer,) = recognizer.classify([pixels])
        evidence = answer.evidence_for(labels[predictions.predicted[row]])
    return Example(
        path,
        labels[predictions.truth[row]],
        labels[predictions.predicted[row]],
        float(predictions.confidence[row]),
        pixels,
        evidence,
    )


def read_again(path: str) -> np.ndarray | None:
    """The pixels of an image by the path that a data set gave it, in a zip too; None if it is not at hand.

    Run files escape what is no UTF-8 in a path; it is looked for as it is, then as that stands for.
    """
    whole = Path(path)
    if not whole.exists():
        whole = Path(_ESCAPED.sub(lambda half: chr(int(half[1], 16)), path))
    try:
        if whole.is_file():
            return load_image(whole)
        archive = next((parent for parent in whole.parents if parent.is_file()), None)
        return None if archive is None else ZipTree(archive).read(whole.relative_to(archive).as_posix())
    except (ImageError, DataError, OSError, MemoryError):
        return None

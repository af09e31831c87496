"""A face as columns of a table: the same names in the same order wherever faces are written flat."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
# Where a face is, in pixels of the upright image, and how sure the detector is of it.
PLACE = (
    *(f"box_{part}" for part in ("x", "y", "width", "height")),
    "detection_score",
    *(f"{point}_{axis}" for point in _POINTS for axis in "xy"),
)


def place_cells(
    box: Iterable[float], score: float | None, landmarks: Iterable[Iterable[float]]
) -> list[float | None]:
    """The cells of ``PLACE``.

    Args:
        box: x, y, width, height.
        score: of the detector; None if it did not look.
        landmarks: (x, y) of five points in the order of ``Face``; none if no detector ran.
    """
    points = [value for point in landmarks for value in point]
    return [*box, score, *(points or [None] * 2 * len(_POINTS))]


def expression_columns(labels: Iterable[str]) -> list[str]:
    """The names for an expression; labels in class order."""
    return ["expression", "confidence", *(f"p_{label}" for label in labels)]


def expression_cells(prediction: Mapping[str, Any], labels: Sequence[str]) -> list[Any]:
    """Their cells for what ``Prediction.to_dict`` gave; None for probabilities that are not there."""
    probabilities = prediction["probabilities"]
    return [prediction["expression"], prediction["confidence"], *map(probabilities.get, labels)]


def csv_line(values: Sequence[Any]) -> str:
    r"""One line of CSV with a line end.

    >>> csv_line(["a, b", 1, None])
    '"a, b",1,\n'
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)  # it quotes those characters only
    return buffer.getvalue().removesuffix("\r\n") + "\n"

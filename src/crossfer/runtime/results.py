"""What was recognised in one image file, and how it is written: JSON Lines, CSV, text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from crossfer.console import ANSWER_WIDTH, answer_table, as_json, as_text
from crossfer.printable import printable
from crossfer.runtime.columns import PLACE, csv_line, expression_cells, expression_columns, place_cells
from crossfer.runtime.percent import percent
from crossfer.types import Face, Prediction

NEXT_BEST = 2  # how many expressions the text form lists after the first


@dataclass(frozen=True)
class ImageResult:
    """The faces in one image, or why there are none.

    Attributes:
        path: the image.
        width: of the upright image in pixels; None if it could not be read.
        height: of the upright image in pixels; None if it could not be read.
        faces: largest first.
        error: one line that says why the image could not be used, or None.
    """

    path: Path
    width: int | None = None
    height: int | None = None
    faces: tuple[Face, ...] = ()
    error: str | None = None

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """Plain values; ``top_k`` keeps only that many probabilities of each face."""
        return {
            "path": str(self.path),
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict(top_k) for face in self.faces],
            "error": self.error,
        }


@dataclass(frozen=True)
class ResultFormat:
    """A way to write results: what comes first, and the lines of each image."""

    header: str
    entry: Callable[[ImageResult], str]


def result_format(
    name: Literal["text", "json", "csv"],
    labels: Sequence[str],
    *,
    top_k: int | None = None,
    columns: int | None = None,
    sets: bool = False,
    answers: bool = False,
) -> ResultFormat:
    """The format with the given name.

    Args:
        name: ``"json"`` is JSON Lines, one object an image; ``"csv"`` one row a face; ``"text"`` a table an
            image.
        labels: the model's expressions in class order.
        top_k: keep only that many probabilities of each face.
        columns: width of the terminal that shows the text in colour; None for plain text.
        sets: the faces have prediction sets, which get a column in CSV.
        answers: the model may have abstained, so that CSV gets a column for the answer.
    """
    extra = (*(["prediction_set"] if sets else []), *(["answer"] if answers else []))
    match name:
        case "json":
            return ResultFormat("", lambda result: json_line(result, top_k))
        case "csv":
            return ResultFormat(
                csv_header(labels, extra), lambda result: csv_lines(result, labels, top_k, extra)
            )
        case "text":
            return ResultFormat("", lambda result: text_block(result, top_k, columns))


def json_line(result: ImageResult, top_k: int | None = None) -> str:
    """One JSON object on one line, with a line end."""
    return as_json(result.to_dict(top_k))


def csv_header(labels: Sequence[str], extra: Sequence[str] = ()) -> str:
    """The line with the column names.

    Args:
        labels: the model's expressions in class order.
        extra: columns for what was asked for: ``"prediction_set"`` (names with ``|`` between), ``"answer"``.
    """
    return csv_line(["path", "width", "height", *_face_columns(labels, extra), "error"])


def csv_lines(
    result: ImageResult, labels: Sequence[str], top_k: int | None = None, extra: Sequence[str] = ()
) -> str:
    """One line a face, numbered from 1; an image without faces and one with an error get one line each."""
    start = [str(result.path), result.width, result.height]
    if not result.faces:
        blanks = [None] * len(_face_columns(labels, extra))
        return csv_line([*start, *blanks, result.error])
    return "".join(
        csv_line([*start, number, *_csv_face(face.to_dict(top_k), labels, extra), None])
        for number, face in enumerate(result.faces, start=1)
    )


def _face_columns(labels: Sequence[str], extra: Sequence[str]) -> list[str]:
    return ["face", *PLACE, *expression_columns(labels), *extra]


def _csv_face(face: dict[str, Any], labels: Sequence[str], extra: Sequence[str]) -> Iterator[Any]:
    yield from place_cells(face["box"].values(), face["detection_score"], face["landmarks"])
    yield from expression_cells(face, labels)
    yield from ("|".join(value) if isinstance(value := face[key], list) else value for key in extra)


def text_block(result: ImageResult, top_k: int | None = None, columns: int | None = None) -> str:
    """A heading and a table with one row a face; in colour if a terminal's ``columns`` are given."""
    count = len(result.faces)
    found = "no face found" if not count else "1 face" if count == 1 else f"{count} faces"
    size = f"{result.width} x {result.height}, {found}"
    said = size if result.error is None else ("not read", "red")
    heading = Text.assemble((printable(str(result.path)), "bold"), "  ", said)
    tables = [_table(result.faces, (top_k or NEXT_BEST + 1) - 1)] if count else []
    return as_text(heading, *tables, width=ANSWER_WIDTH, fold=False, columns=columns)


def _table(faces: Sequence[Face], next_best: int) -> Table:
    table = answer_table()
    table.add_column("face", justify="right")
    table.add_column("expression", style="bold")
    table.add_column("confidence", justify="right")
    sets = faces[0].prediction.prediction_set is not None
    table.add_column("one of" if sets else "next best")
    table.add_column("box: x, y, size")
    for number, face in enumerate(faces, start=1):
        box = face.box
        table.add_row(
            str(number),
            face.prediction.answer,
            percent(face.confidence),
            _others(face.prediction, next_best),
            f"{box.x:.0f}, {box.y:.0f}, {box.width:.0f} x {box.height:.0f}",
        )
    return table


def _others(prediction: Prediction, next_best: int) -> str:
    """The prediction set where one was asked for, else the likeliest expressions that are not the answer."""
    if prediction.prediction_set is not None:
        return ", ".join(prediction.prediction_set)
    first = 0 if prediction.abstained else 1
    return ", ".join(f"{name} {percent(p)}" for name, p in prediction.top(next_best + 1)[first:])

"""How results are written: JSON Lines, CSV and Parquet, one row a frame and person.

Rows are written as JSON Lines while a video is gone through; CSV and Parquet are made from those line by
line, so that memory does not grow with the video.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from crossfer.runtime.columns import PLACE, csv_line, expression_cells, expression_columns, place_cells

if TYPE_CHECKING:
    import pyarrow

RowFormat = Literal["json", "csv", "parquet"]
SUFFIXES: dict[str, RowFormat] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_GROUP = 20_000  # rows that Parquet keeps together


@dataclass(frozen=True)
class Columns:
    """The columns of CSV and Parquet.

    Attributes:
        labels: the model's expressions in class order.
        sets: whether there are prediction sets.
        answers: whether the model may abstain.
    """

    labels: Sequence[str]
    sets: bool = False
    answers: bool = False

    @property
    def names(self) -> list[str]:
        """Of all columns, in order; those of a single frame's expression begin with ``raw_``."""
        expression = [*expression_columns(self.labels), *(["answer"] if self.answers else [])]
        return [
            *("frame", "time", "track"),
            *PLACE,
            *expression,
            *(f"raw_{name}" for name in expression),
            *(["raw_prediction_set"] if self.sets else []),
        ]

    def values(self, row: dict[str, Any]) -> list[Any]:
        """The cells of a row as JSON Lines has it."""
        smoothed, raw = row["smoothed"], row["raw"]
        return [
            *(row["frame"], row["time"], row["track"]),
            *place_cells(row["box"].values(), row["detection_score"], row["landmarks"]),
            *self._expression(smoothed),
            *self._expression(raw),
            *(["|".join(raw["prediction_set"])] if self.sets else []),
        ]

    def _expression(self, values: dict[str, Any]) -> list[Any]:
        return [*expression_cells(values, self.labels), *([values["answer"]] if self.answers else [])]


def row_lines(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON Lines."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def has_rows(path: Path, form: RowFormat | None) -> bool:
    """Whether a file of rows holds any; of Parquet it needs pyarrow."""
    if form == "parquet":
        from pyarrow.parquet import read_metadata  # noqa: PLC0415

        return read_metadata(path).num_rows > 0
    with path.open("rb") as file:
        if form == "csv":
            file.readline()
        return bool(file.readline())


def write_csv(rows: Iterator[dict[str, Any]], columns: Columns, file: IO[str]) -> None:
    """Writes a table with a header."""
    file.write(csv_line(columns.names))
    file.writelines(csv_line(columns.values(row)) for row in rows)


def write_parquet(rows: Iterator[dict[str, Any]], columns: Columns, path: Path) -> None:
    """Writes a Parquet file, in groups of rows; needs pyarrow."""
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415

    schema = _schema(columns)
    with ParquetWriter(path, schema) as writer:
        values = map(columns.values, rows)
        while part := list(islice(values, _GROUP)):
            cells = [list(column) for column in zip(*part, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays([*map(_array, cells, schema)], schema=schema))


def _array(cells: list[Any], field: pyarrow.Field) -> pyarrow.Array:
    import pyarrow  # noqa: PLC0415

    return pyarrow.array(cells, field.type)


def _schema(columns: Columns) -> pyarrow.Schema:
    """Numbers of frames and people as integers, names as text, the rest as float64."""
    import pyarrow  # noqa: PLC0415

    words = ("expression", "answer", "prediction_set")
    kinds = {"frame": pyarrow.int64(), "track": pyarrow.int64()}
    return pyarrow.schema(
        [
            (name, pyarrow.string() if name.endswith(words) else kinds.get(name, pyarrow.float64()))
            for name in columns.names
        ]
    )

import csv
import io
import json

import numpy as np
import pytest

from crossfer.labels import FERPLUS
from crossfer.runtime.columns import csv_line
from crossfer.types import Box, Prediction
from crossfer.video.frames import Frame, RecognizedFrame, TrackedFace
from crossfer.video.rows import Columns, read_rows, row_lines, write_csv, write_parquet

LABELS = FERPLUS.expressions


def prediction(seed: int, **extra) -> Prediction:
    values = np.random.default_rng(seed).dirichlet(np.ones(8))
    return Prediction(
        dict(zip(LABELS, values.tolist(), strict=True)), np.zeros(8), np.zeros((8, 6, 6)), **extra
    )


def recognized(index: int, *tracks: int, **extra) -> RecognizedFrame:
    faces = tuple(
        TrackedFace(
            track,
            Box(1.234, 2.0, 30.5, 40.0),
            tuple((float(k), k + 0.126) for k in range(5)),
            0.91234 if index % 3 == 0 else None,
            prediction(index * 10 + track, **extra),
            prediction(index * 100 + track + 7, **({"abstained": True} if extra else {})),
        )
        for track in tracks
    )
    return RecognizedFrame(Frame(index, index / 25, np.zeros((4, 4, 3), np.uint8)), faces)


@pytest.fixture
def rows_path(tmp_path):
    path = tmp_path / "rows.jsonl"
    frames = [recognized(0, 1), recognized(1), recognized(2, 1, 2), recognized(3, 2)]
    path.write_text("".join(row_lines(frame.rows()) for frame in frames))
    return path


def test_a_row_says_who_where_when_and_what(rows_path):
    rows = list(read_rows(rows_path))
    assert [(row["frame"], row["time"], row["track"]) for row in rows] == [
        (0, 0.0, 1), (2, 0.08, 1), (2, 0.08, 2), (3, 0.12, 2)
    ]  # fmt: skip
    assert rows[0]["box"] == {"x": 1.23, "y": 2.0, "width": 30.5, "height": 40.0}
    assert rows[0]["detection_score"] == 0.9123
    assert rows[1]["detection_score"] is None
    assert set(rows[0]["raw"]) == {"expression", "confidence", "probabilities"}
    assert rows[0]["raw"] != rows[0]["smoothed"]
    assert rows[0]["landmarks"][1] == [1.0, 1.13]


def test_csv_says_the_same_as_json(rows_path, tmp_path):
    columns, path = Columns(LABELS), tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        write_csv(read_rows(rows_path), columns, file)
    with path.open(newline="") as file:
        table = list(csv.DictReader(file))
    for row, cells in zip(read_rows(rows_path), table, strict=True):
        assert (int(cells["frame"]), float(cells["time"]), int(cells["track"])) == (
            row["frame"], row["time"], row["track"]
        )  # fmt: skip
        assert float(cells["box_width"]) == row["box"]["width"]
        assert cells["detection_score"] == str(row["detection_score"] or "")
        assert float(cells["left_eye_y"]) == row["landmarks"][1][1]
        for prefix, side in (("", "smoothed"), ("raw_", "raw")):
            assert cells[f"{prefix}expression"] == row[side]["expression"]
            assert float(cells[f"{prefix}confidence"]) == row[side]["confidence"]
            for label in LABELS:
                assert float(cells[f"{prefix}p_{label}"]) == row[side]["probabilities"][label]


def test_a_label_with_a_carriage_return_is_quoted_as_on_standard_output():
    columns, file = Columns(["calm", "a\rb"]), io.StringIO(newline="")
    write_csv(iter(()), columns, file)
    assert file.getvalue() == csv_line(columns.names)
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == columns.names


def test_parquet_says_the_same_as_csv(rows_path, tmp_path, monkeypatch):
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr("crossfer.video.rows._GROUP", 3)
    columns, path = Columns(LABELS), tmp_path / "t.parquet"
    write_parquet(read_rows(rows_path), columns, path)
    file = ParquetFile(path)
    assert file.num_row_groups == 2
    assert file.schema_arrow.names == columns.names
    assert file.read().to_pylist() == [
        dict(zip(columns.names, columns.values(row), strict=True)) for row in read_rows(rows_path)
    ]
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    assert (kinds["frame"], kinds["time"], kinds["expression"]) == ("int64", "double", "string")
    assert kinds["detection_score"] == "double"


def test_a_video_without_rows_is_a_table_with_a_header(tmp_path):
    from pyarrow.parquet import read_table

    write_parquet(iter(()), Columns(LABELS), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").num_rows == 0
    assert read_table(tmp_path / "t.parquet").column_names == Columns(LABELS).names


def test_sets_and_answers_get_columns():
    columns = Columns(LABELS, sets=True, answers=True)
    (row,) = recognized(0, 1, prediction_set=("fear", "anger"), abstained=False).rows()
    cells = dict(zip(columns.names, columns.values(json.loads(json.dumps(row))), strict=True))
    assert cells["answer"] == "uncertain"
    assert cells["raw_answer"] == row["raw"]["expression"]
    assert cells["raw_prediction_set"] == "fear|anger"
    assert len(columns.names) == len(set(columns.names)) == len(cells)
    assert csv_line(columns.names).count(",") == len(cells) - 1

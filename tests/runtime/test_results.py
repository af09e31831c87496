import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossfer.runtime.results import ImageResult, result_format
from crossfer.types import Box, Face, Prediction

LABELS = ("neutral", "happiness", "anger")
PREDICTION = Prediction(
    {"neutral": 0.07, "happiness": 0.9, "anger": 0.03},
    np.zeros(3, np.float32),
    np.zeros((3, 2, 2), np.float32),
)
POINTS = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0))
FACE = Face(Box(1.234, 2, 30, 40), POINTS, 0.98765, PREDICTION)
BARE = Face(Box(0, 0, 60, 50), (), None, PREDICTION)
TWO = ImageResult(Path("a, b.png"), 60, 50, (FACE, BARE))
NONE = ImageResult(Path("empty.png"), 60, 50)
BAD = ImageResult(Path("bad.png"), error='bad.png: found "nothing"')


def test_json_lines_have_the_documented_form():
    form = result_format("json", LABELS)
    assert form.header == ""
    assert json.loads(form.entry(TWO)) == {
        "path": "a, b.png",
        "width": 60,
        "height": 50,
        "faces": [
            {
                "box": {"x": 1.23, "y": 2.0, "width": 30.0, "height": 40.0},
                "detection_score": 0.9877,
                "landmarks": [list(point) for point in POINTS],
                "expression": "happiness",
                "confidence": 0.9,
                "probabilities": {"neutral": 0.07, "happiness": 0.9, "anger": 0.03},
            },
            {
                "box": {"x": 0.0, "y": 0.0, "width": 60.0, "height": 50.0},
                "detection_score": None,
                "landmarks": [],
                "expression": "happiness",
                "confidence": 0.9,
                "probabilities": {"neutral": 0.07, "happiness": 0.9, "anger": 0.03},
            },
        ],
        "error": None,
    }
    failed = {"path": "bad.png", "width": None, "height": None, "faces": [], "error": BAD.error}
    assert json.loads(form.entry(BAD)) == failed
    assert all(form.entry(result).count("\n") == 1 for result in (TWO, NONE, BAD))


def test_top_k_keeps_the_likeliest():
    (face, _) = json.loads(result_format("json", LABELS, top_k=2).entry(TWO))["faces"]
    assert list(face["probabilities"]) == ["happiness", "neutral"]


def test_csv_has_one_row_a_face_and_one_for_an_image_without():
    form = result_format("csv", LABELS)
    rows = list(csv.DictReader(io.StringIO(form.header + "".join(map(form.entry, (TWO, NONE, BAD))))))
    assert [(row["path"], row["face"]) for row in rows] == [
        ("a, b.png", "1"), ("a, b.png", "2"), ("empty.png", ""), ("bad.png", "")
    ]  # fmt: skip
    assert None not in rows[0]
    assert all(None not in row.values() for row in rows)
    assert rows[0]["box_x"] == "1.23"
    assert rows[0]["left_mouth_y"] == "10.0"
    assert rows[0]["p_happiness"] == "0.9"
    assert rows[1]["nose_x"] == rows[1]["detection_score"] == ""
    assert rows[2]["width"] == "60"
    assert rows[3]["error"] == BAD.error


def test_text_names_expression_confidence_and_the_next_best():
    form = result_format("text", LABELS)
    text = form.entry(TWO)
    assert "a, b.png  60 x 50, 2 faces" in text
    assert "happiness" in text
    assert "90.0%" in text
    assert "neutral 7.0%, anger 3.0%" in text
    assert "\x1b" not in text
    assert form.entry(NONE) == "empty.png  60 x 50, no face found\n"
    assert form.entry(BAD) == "bad.png  not read\n"
    assert "anger" not in result_format("text", LABELS, top_k=2).entry(TWO)


def test_text_on_a_terminal_is_coloured_and_fits():
    text = result_format("text", LABELS, columns=60).entry(TWO)
    assert "\x1b[1m" in text


@pytest.mark.parametrize("name", ["[bold]x[/bold].png", "a\nb.png", "x" * 300 + ".png"])
def test_odd_names_are_shown_as_they_are(name):
    result = ImageResult(Path(name), 60, 50)
    assert name.split("\n")[0] in result_format("text", LABELS).entry(result)
    assert json.loads(result_format("json", LABELS).entry(result))["path"] == name


def test_a_name_that_is_no_utf8_is_the_same_in_json_and_csv():
    result = ImageResult(Path("caf\udce9.png"), error="caf\udce9.png: no")
    row = json.loads(result_format("json", LABELS).entry(result))
    assert (row["path"], row["error"]) == (r"caf\udce9.png", r"caf\udce9.png: no")
    cells = result_format("csv", LABELS).entry(result).encode("utf-8", "backslashreplace").decode()
    assert cells.startswith(row["path"] + ",")


def test_odd_classes_are_shown_as_they_are():
    odd = replace(PREDICTION, probabilities={"[red]": 0.9, ":smile:": 0.1})
    text = result_format("text", tuple(odd.probabilities)).entry(
        replace(TWO, faces=(replace(BARE, prediction=odd),))
    )
    assert "[red]" in text
    assert ":smile: 10.0%" in text


def test_sets_and_answers_get_columns_and_words():
    unsure = replace(PREDICTION, prediction_set=("happiness", "neutral"), abstained=True)
    result = ImageResult(Path("a.png"), 60, 50, (replace(FACE, prediction=unsure),))
    form = result_format("csv", LABELS, sets=True, answers=True)
    for entry in (form.entry(result), form.entry(BAD), form.entry(NONE)):
        (row,) = csv.DictReader(io.StringIO(form.header + entry))
        assert None not in row
    (row,) = csv.DictReader(io.StringIO(form.header + form.entry(result)))
    assert (row["prediction_set"], row["answer"], row["error"]) == ("happiness|neutral", "uncertain", "")
    (face,) = json.loads(result_format("json", LABELS).entry(result))["faces"]
    assert (face["prediction_set"], face["answer"]) == (["happiness", "neutral"], "uncertain")
    text = result_format("text", LABELS).entry(result)
    assert "one of" in text
    assert "uncertain        90.0%  happiness, neutral" in text
    alone = ImageResult(
        Path("a.png"), 60, 50, (replace(FACE, prediction=replace(unsure, prediction_set=None)),)
    )
    assert "uncertain        90.0%  happiness 90.0%, neutral 7.0%" in result_format("text", LABELS).entry(
        alone
    )

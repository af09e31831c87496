import csv
import io

import pytest

from crossfer.runtime.columns import PLACE, csv_line, expression_cells, expression_columns, place_cells

POINTS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))


def test_a_place_has_a_cell_for_each_name():
    names = (
        "box_x box_y box_width box_height detection_score right_eye_x right_eye_y left_eye_x left_eye_y "
        "nose_x nose_y right_mouth_x right_mouth_y left_mouth_x left_mouth_y"
    )
    assert list(PLACE) == names.split()
    assert place_cells((11, 12, 13, 14), 0.5, POINTS) == [11, 12, 13, 14, 0.5, *range(1, 11)]
    assert place_cells((0, 0, 3, 4), None, ()) == [0, 0, 3, 4, *[None] * 11]


def test_an_expression_has_a_cell_for_each_name_and_none_for_a_probability_that_was_left_out():
    said = {"expression": "anger", "confidence": 0.7, "probabilities": {"anger": 0.7, "fear": 0.2}}
    labels = ("fear", "neutral", "anger")
    assert expression_columns(labels) == ["expression", "confidence", "p_fear", "p_neutral", "p_anger"]
    assert expression_cells(said, labels) == ["anger", 0.7, 0.2, None, 0.7]


@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", "a\r\nb.png", "a\r\n", 'a"b, c', " a"])
def test_a_name_with_any_line_end_stays_one_cell(name):
    line = csv_line([name, 1, None])
    assert list(csv.reader(io.StringIO(line, newline=""))) == [[name, "1", ""]]
    assert line.endswith(",1,\n")

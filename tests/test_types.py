import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest

from crossfer.types import Box, Face, Prediction

PREDICTION = Prediction(
    {"neutral": 0.25, "happiness": 0.6, "anger": 0.15}, np.ones(3, np.float32), np.ones((3, 2, 2), np.float32)
)


def test_a_box_in_closed_form():
    box = Box(10, 20, 30, 40)
    assert box.area == 1200
    assert box.center == (25, 40)
    assert Box(1 / 3, 2, 3, 4).to_dict() == {"x": 0.33, "y": 2.0, "width": 3.0, "height": 4.0}


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        (Box(10, 20, 30, 40), (10, 20, 40, 60)),
        (Box(10.4, 20.6, 30.4, 40.1), (10, 20, 41, 61)),  # outwards
        (Box(181.53, 58.2, 512 - 181.53, 0.4), (181, 58, 512, 59)),
        (Box(0.1, 0.7, 0.2, 0.1), (0, 0, 1, 1)),
        (Box(-3.5, -2, 10, 10), (0, 0, 7, 8)),
        (Box(-30, 5, 10, 1e-9), (0, 5, 1, 6)),
    ],
)
def test_the_pixels_of_a_box_hold_it_and_are_never_empty_or_negative(box, pixels):
    assert box.pixels == pixels
    assert all(type(number) is int for number in Box(*np.float32([1.5, 2, 3, 4])).pixels)  # type: ignore[arg-type]


def test_a_prediction_orders_its_expressions():
    assert PREDICTION.expression == "happiness"
    assert PREDICTION.confidence == 0.6
    assert PREDICTION.top(2) == [("happiness", 0.6), ("neutral", 0.25)]
    assert PREDICTION.to_dict(top_k=1)["probabilities"] == {"happiness": 0.6}


@pytest.mark.parametrize("none", [0, -1, 2.5, "2"])
def test_fewer_than_one_expression_cannot_be_asked_for(none):
    for asked in (PREDICTION.top, PREDICTION.to_dict, Face(Box(1, 2, 3, 4), (), None, PREDICTION).to_dict):
        with pytest.raises(ValueError, match=f"expected an integer of at least 1, .*, got {none!r}"):
            asked(none)
    assert PREDICTION.to_dict(None)["probabilities"] == PREDICTION.probabilities


def test_evidence_for_an_expression_is_what_it_has_beyond_all():
    cells = np.array([[[3, 1]], [[1, 1]], [[2, 4]]], np.float32)
    prediction = Prediction(PREDICTION.probabilities, cells.sum(axis=(1, 2)), cells)
    assert prediction.evidence_for("neutral").tolist() == [[1, -1]]
    assert prediction.evidence_for("anger").tolist() == [[0, 2]]
    assert prediction.evidence_for("Angry").tolist() == [[0, 2]]
    for name in ("joy", None):
        with pytest.raises(ValueError, match=f"expected one of neutral, happiness, anger, got {name!r}"):
            prediction.evidence_for(name)  # pyright: ignore[reportArgumentType]
    own = Prediction({"Happy": 0.7, "bored": 0.3}, cells.sum(axis=(1, 2))[:2], cells[:2])
    assert own.evidence_for("happy").tolist() == own.evidence_for("Happy").tolist()


def test_results_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PREDICTION.logits = np.zeros(3)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        PREDICTION.probabilities["anger"] = 1.0  # pyright: ignore[reportIndexIssue]
    for change in ("clear", "popitem", "update"):
        with pytest.raises(TypeError, match="a result does not change"):
            getattr(PREDICTION.probabilities, change)()


def test_a_face_as_plain_values_is_json():
    face = Face(Box(1, 2, 3, 4), ((1.005, 2.0),) * 5, 0.5, PREDICTION)
    values = json.loads(json.dumps(face.to_dict()))
    assert values["landmarks"] == [[pytest.approx(1.0, abs=0.01), 2.0]] * 5
    assert values["detection_score"] == 0.5
    assert values["expression"] == face.expression == "happiness"
    assert Face(face.box, (), None, PREDICTION).to_dict()["detection_score"] is None
    assert face.probabilities is face.prediction.probabilities


def test_equality_ignores_raw_scores_only():
    other = dataclasses.replace(PREDICTION, logits=np.zeros(3, np.float32))
    assert other == PREDICTION
    assert dataclasses.replace(PREDICTION, probabilities={"neutral": 1.0}) != PREDICTION


def test_results_go_to_other_processes_and_into_json():
    face = Face(Box(1, 2, 3, 4), ((0.0, 1.0),) * 5, 0.9, PREDICTION)
    sent = pickle.loads(pickle.dumps(face))  # noqa: S301 -- our own
    for again in (sent, copy.deepcopy(face)):
        assert again == face
        assert type(again.prediction.probabilities) is type(PREDICTION.probabilities)
        np.testing.assert_array_equal(again.prediction.evidence, PREDICTION.evidence)
    assert hash(copy.copy(face)) == hash(face)
    assert json.loads(json.dumps(PREDICTION.probabilities)) == PREDICTION.probabilities
    assert dataclasses.asdict(face)["prediction"]["probabilities"] == PREDICTION.probabilities

"""Sets and abstention are the calibration's, decided face by face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfer import Prediction, Recognizer
from crossfer.calibration import prediction_sets
from crossfer.runtime.bundle import BundleError
from crossfer.runtime.decision import Decision
from support.bundles import calibration, tiny_meta

NOTHING = np.zeros(8, np.float32)
META = dataclasses.replace(tiny_meta(), calibration=calibration(threshold=0.4, set_threshold=0.05))

shares = st.lists(st.floats(0.001, 1), min_size=8, max_size=8).map(lambda raw: np.array(raw) / sum(raw))


@given(shares, st.floats(0, 1))
def test_a_set_is_what_the_calibration_gives_for_the_whole_batch(probabilities, threshold):
    prediction = Prediction(dict(zip(META.labels, probabilities.tolist(), strict=True)), NOTHING, NOTHING)
    decided = Decision(set_threshold=threshold)(prediction)
    (members,) = prediction_sets(probabilities[None], threshold)
    assert decided.prediction_set is not None
    assert set(decided.prediction_set) == {META.labels[k] for k in np.flatnonzero(members)}
    assert decided.prediction_set[0] == prediction.expression
    assert decided.abstained is None


@given(shares)
def test_it_abstains_below_the_threshold_only(probabilities):
    prediction = Prediction(dict(zip(META.labels, probabilities.tolist(), strict=True)), NOTHING, NOTHING)
    decided = Decision.of(META, abstain=True)(prediction)
    assert decided.abstained == (max(probabilities) < 0.4)
    assert decided.prediction_set is None


def test_without_wishes_nothing_changes(tiny_model, astronaut):
    (prediction,) = Recognizer(tiny_model).classify([astronaut])
    assert Decision()(prediction) == prediction
    assert Decision.of(tiny_meta()) == Decision()


@pytest.mark.parametrize("wish", [{"coverage": 0.9}, {"abstain": True}])
def test_a_model_without_calibration_says_so(wish):
    with pytest.raises(BundleError, match="crossfer calibrate"):
        Decision.of(tiny_meta(), **wish)


def test_a_class_called_uncertain_is_no_abstention():
    """Whether the model is calibrated or not: calibrating it would not help."""
    named = dataclasses.replace(META, label_set="mine", labels=("Uncertain", *META.labels[1:]))
    for meta in (named, dataclasses.replace(named, calibration=None)):
        with pytest.raises(BundleError, match="answers 'uncertain', expected no class of that name"):
            Decision.of(meta, abstain=True)
    assert Decision.of(named, 0.9).set_threshold == 0.05


def test_a_calibration_without_abstention_says_so():
    without = dataclasses.replace(META, calibration=dataclasses.replace(META.calibration, abstention=None))
    with pytest.raises(BundleError, match="selective-accuracy"):
        Decision.of(without, abstain=True)

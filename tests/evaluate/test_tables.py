"""Results as people read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfer.calibration import BiasTrial, softmax
from crossfer.console import as_text
from crossfer.evaluate.calibrate import FEWEST, Calibrated, calibrate
from crossfer.evaluate.predictions import Predictions, Subject
from crossfer.evaluate.tables import calibration_tables
from support.bundles import tiny_meta


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Answers of a model that is right more often than not, to images each of its own pixels."""
    rng, meta = np.random.default_rng(0), tiny_meta()
    truth = rng.integers(len(meta.labels), size=FEWEST)
    logits = (rng.normal(size=(FEWEST, len(meta.labels))) + 3 * np.eye(len(meta.labels))[truth]).astype("f4")
    subject = Subject("toy", "valid", "as given", "none", meta.name, "abc", tuple(meta.labels))
    names = tuple(map(str, range(FEWEST)))
    return Predictions(subject, names, names, truth, logits, softmax(logits), None)


@pytest.fixture(scope="module")
def calibrated(predictions: Predictions) -> Calibrated:
    return calibrate(tiny_meta(), predictions, None)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.01, "kept: NLL falls by 0.01000 +- 0.00300 in cross-validation"),
        (0.001, "not kept: NLL falls by 0.00100 +- 0.00300 in cross-validation"),
        (-0.00421, "not kept: NLL rises by 0.00421 +- 0.00300 in cross-validation"),
    ],
)
def test_what_a_bias_does_is_said_in_words(calibrated: Calibrated, gain: float, said: str):
    text = as_text(calibration_tables(replace(calibrated, bias_trial=BiasTrial(gain, 0.003))))
    assert f"bias for each class {said}\n" in text

"""Calibration as if classes were equally frequent; the rest of it is tested with the command."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfer.calibration import softmax
from crossfer.console import as_text
from crossfer.evaluate.calibrate import Calibrated, calibrate
from crossfer.evaluate.evaluation import score
from crossfer.evaluate.predictions import Predictions, Subject
from crossfer.evaluate.tables import calibration_tables
from support.bundles import tiny_meta

META = tiny_meta()
K = len(META.labels)
CENTRES = 1.5 * np.eye(K)


def drawn(shares: np.ndarray, n: int, seed: int) -> Predictions:
    """Points around their class's centre, and logits that are right where classes have these shares."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(K, size=n, p=shares)
    points = CENTRES[truth] + rng.normal(size=(n, K))
    logits = 2 * (_likelihood(points) + np.log(shares))  # wrong by a temperature of 2
    subject = Subject("toy", "valid", "as given", "none", META.name, "abc", tuple(META.labels))
    names = tuple(map(str, range(n)))
    return Predictions(subject, names, names, truth, logits.astype("f4"), softmax(logits), None)


def _likelihood(points: np.ndarray) -> np.ndarray:
    return -((points[:, None] - CENTRES) ** 2).sum(axis=2) / 2


SHARES = 0.4 ** np.arange(K) / (0.4 ** np.arange(K)).sum()


@pytest.fixture(scope="module")
def unbalanced() -> Predictions:
    return drawn(SHARES, 4000, seed=0)


def balanced(predictions: Predictions, balance: float) -> Calibrated:
    return calibrate(META, predictions, None, balance=balance)


@pytest.mark.parametrize("balance", [0.3, 1.0])
def test_probabilities_are_divided_by_how_frequent_a_class_is(
    unbalanced: Predictions, balance: float
) -> None:
    plain, found = (balanced(unbalanced, b).meta for b in (0.0, balance))
    assert found.temperature == plain.temperature
    expected = softmax(unbalanced.logits, plain.temperature, plain.bias)
    expected /= np.bincount(unbalanced.truth, minlength=K).clip(1) ** balance
    expected /= expected.sum(axis=1, keepdims=True)
    given = softmax(unbalanced.logits, found.temperature, found.bias)
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_they_are_right_where_classes_are_equally_frequent(unbalanced: Predictions) -> None:
    meta = balanced(unbalanced, 1.0).meta
    rng = np.random.default_rng(1)
    truth = rng.integers(K, size=2000)
    likelihood = _likelihood(CENTRES[truth] + rng.normal(size=(2000, K)))
    logits = 2 * (likelihood + np.log(SHARES))
    given, best = softmax(logits, meta.temperature, meta.bias), softmax(likelihood)
    nll, least = (-np.log(p[np.arange(2000), truth]).mean() for p in (given, best))
    assert nll == pytest.approx(least, rel=0.02)
    assert nll < 0.8 * -np.log(softmax(logits, 2.0)[np.arange(2000), truth]).mean()


def test_rare_classes_are_found_more_often_and_it_says_so(unbalanced: Predictions) -> None:
    found = balanced(unbalanced, 1.0)
    assert found.after.mean_class_accuracy > found.before.mean_class_accuracy + 0.02
    assert found.after.accuracy < found.before.accuracy
    assert found.calibration.fitted_on["balance"] == 1.0
    assert found.to_dict()["after"]["mean_class_accuracy"] == pytest.approx(
        found.after.mean_class_accuracy, abs=1e-6
    )
    text = as_text(calibration_tables(found))
    assert "balance 1: probabilities as if all classes were equally frequent" in " ".join(text.split())
    assert "mean_class_accuracy" in text
    assert "balance" not in as_text(calibration_tables(balanced(unbalanced, 0.0)))
    # The sets keep their promise, being fitted to these probabilities.
    answered = replace(
        unbalanced, probabilities=softmax(unbalanced.logits, found.meta.temperature, found.meta.bias)
    )
    sets = score(answered, found.calibration).sets
    assert sets is not None
    assert all(held.coverage >= held.target for held in sets)


def test_a_class_without_images_counts_as_one(unbalanced: Predictions) -> None:
    seen = unbalanced.select(unbalanced.truth != K - 1)
    bias = np.array(balanced(seen, 1.0).meta.bias)
    plain = np.array(balanced(seen, 0.0).meta.bias or np.zeros(K))
    counts = np.bincount(seen.truth, minlength=K).clip(1)
    assert counts[-1] == 1
    steps = (bias - plain) + np.log(counts)
    np.testing.assert_allclose(steps, steps.mean(), atol=1e-3)

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from crossfer import calibration as calibrations
from crossfer.calibration import (
    LEVELS,
    BiasTrial,
    Calibration,
    conformal_thresholds,
    fit_abstention,
    fit_bias,
    fit_temperature,
    prediction_sets,
    softmax,
    try_bias,
)
from crossfer.stored import from_plain, to_plain
from reference import calibration as naive

BIAS = np.array([1.0, -0.5, 0, 0, 0, 0, 0, -0.5])


def drawn_case(
    n: int, temperature: float = 1.7, bias: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 8) and truth drawn from softmax(logits / temperature + bias)."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(n, 8)) * 3).astype(np.float32)
    probabilities = softmax(logits, temperature, () if bias is None else bias)
    truth = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits, truth


def filled(**values) -> Calibration:
    thresholds = tuple(np.linspace(0.9, 0.01, len(LEVELS)).round(6).tolist())
    return replace(Calibration((), thresholds, calibrations.Abstention(0.7, 0.95, 0.8), {"n": 100}), **values)


# ---- temperature and bias ----


def test_the_temperature_is_the_one_that_made_the_labels():
    logits, truth = drawn_case(20_000)
    assert fit_temperature(logits, truth) == pytest.approx(1.7, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_is_that_of_scipy(seed: int):
    logits, truth = drawn_case(500, seed=seed)
    scores = logits.astype(float)

    def nll(inverse: float) -> float:
        scaled = scores * inverse
        nll = np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(500), truth]
        return float(nll.sum() + ((inverse - 1) / 0.5) ** 2 / 2)

    found = optimize.minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10})
    assert fit_temperature(logits, truth) == pytest.approx(1 / found.x, abs=1e-4)


def test_the_temperature_stays_in_its_range():
    sure, truth = np.tile(np.eye(8), (1000, 1)) / 10, np.tile(np.arange(8), 1000)
    for fit in (fit_temperature, lambda logits, truth: fit_bias(logits, truth)[0]):
        assert fit(sure, truth) == pytest.approx(0.05)
        assert fit(50 * sure, (truth + 1) % 8) == pytest.approx(20)


def test_a_few_images_that_are_all_right_do_not_make_it_certain():
    assert fit_temperature(np.eye(8), np.arange(8)) == pytest.approx(0.5, abs=0.05)
    temperature, bias = fit_bias(np.eye(8), np.arange(8))
    assert temperature == pytest.approx(0.5, abs=0.05)
    assert bias == pytest.approx(np.zeros(8), abs=1e-6)


def test_few_images_do_other_images_no_harm():
    """Of a network that is right in 97 of 100 cases a fifth of the drawings of 20 hold no error."""
    rng = np.random.default_rng(0)
    logits = 2 * np.eye(3)[rng.integers(3, size=20_000)] + rng.normal(size=(20_000, 3))
    logits *= 2.5
    truth = (softmax(logits).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    lost = []
    for rows in rng.permutation(20_000)[:4000].reshape(200, 20):
        fitted = softmax(logits, fit_temperature(logits[rows], truth[rows]))
        lost.append(-np.log(fitted[np.arange(20_000), truth]).mean())
    best = -np.log(softmax(logits)[np.arange(20_000), truth]).mean()
    assert np.mean(lost) < 1.1 * best
    assert np.max(lost) < 1.5 * best


def test_temperature_and_bias_are_those_of_scipy():
    logits, truth = drawn_case(400, bias=BIAS)
    scores = logits.astype(float)

    def penalised(theta: np.ndarray) -> float:
        scaled = scores * theta[0] + theta[1:]
        nll = np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(400), truth]
        return float(nll.sum() + theta[1:] @ theta[1:] / 2 + ((theta[0] - 1) / 0.5) ** 2 / 2)

    found = optimize.minimize(penalised, np.append(1.0, np.zeros(8)), method="BFGS", options={"gtol": 1e-3})
    temperature, bias = fit_bias(logits, truth)
    assert temperature == pytest.approx(1 / found.x[0], rel=1e-4)
    assert bias == pytest.approx(found.x[1:], abs=1e-3)


def test_a_class_without_images_gets_a_finite_bias():
    logits, truth = drawn_case(300)
    _, bias = fit_bias(logits, np.where(truth == 7, 0, truth))
    assert np.isfinite(bias).all()
    assert bias[7] == bias.min() < -1


def test_a_bias_is_kept_only_where_it_helps():
    groups = np.arange(3000)
    plain, shifted = (try_bias(*drawn_case(3000, bias=bias), groups) for bias in (None, BIAS))
    assert shifted.helps
    assert shifted.gain > 0.05
    assert not plain.helps


@pytest.mark.parametrize(("gain", "helps"), [(0.021, True), (0.02, False), (0.011, False), (-0.03, False)])
def test_a_bias_helps_if_its_gain_exceeds_its_error_twice(gain: float, helps: bool):
    assert BiasTrial(gain, error=0.01).helps == helps


def test_copies_do_not_make_a_bias_look_better(monkeypatch):
    """All copies of an image lie in one fold, so that none is fitted on another."""
    logits, truth = drawn_case(60)
    seen = []

    def watched(some_logits: np.ndarray, _: np.ndarray) -> tuple[float, np.ndarray]:
        seen.append(np.unique(some_logits[:, 0], return_counts=True)[1])
        return 1.0, np.zeros(8)

    monkeypatch.setattr(calibrations, "fit_bias", watched)
    try_bias(np.repeat(logits, 4, axis=0), np.repeat(truth, 4), np.repeat(np.arange(60), 4))
    assert len(seen) == 50
    assert all((counts == 4).all() for counts in seen)


def test_copies_count_once_in_the_error_of_the_gain():
    logits, truth = drawn_case(200)
    alone = try_bias(logits, truth, np.arange(200))
    copied = try_bias(np.repeat(logits, 9, axis=0), np.repeat(truth, 9), np.repeat(np.arange(200), 9))
    assert copied.error > 0.8 * alone.error  # 1 / 3 of it if they counted nine times


def test_the_gain_of_a_bias_hangs_little_on_how_the_folds_are_drawn():
    """Over single drawings of the folds its deviation is 0.6 of its standard error here."""
    case, rng = drawn_case(1000, bias=0.2 * BIAS), np.random.default_rng(0)
    trials = [try_bias(*case, rng.permutation(1000)) for _ in range(5)]
    assert np.std([trial.gain for trial in trials], ddof=1) < 0.3 * trials[0].error


# ---- prediction sets ----


SHARES = st.floats(0, 1) | st.integers(0, 10**7).map(lambda number: number / 10**7)


@given(st.lists(SHARES, min_size=1, max_size=60), st.sampled_from([500, 800, 900, 950, 990]))
def test_thresholds_as_in_the_loop_version(chosen: list[float], level: int):
    probabilities = np.array(chosen)[:, None]
    found = conformal_thresholds(probabilities, np.zeros(len(chosen), int))[level - LEVELS[0]]
    assert found == pytest.approx(naive.conformal_threshold(chosen, level / 1000), abs=2e-6)
    rank = math.ceil(Fraction(level, 1000) * (len(chosen) + 1))
    assert np.sum(probabilities >= found) >= min(rank, len(chosen))  # rounding leaves none of them out


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_sets_are_never_empty_and_hold_what_reaches_the_threshold(seed: int, threshold: float):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(8), size=20)
    members = prediction_sets(probabilities, threshold)
    assert members.any(axis=1).all()
    assert members[np.arange(20), probabilities.argmax(axis=1)].all()
    assert (members.sum(axis=1) == np.maximum((probabilities >= threshold).sum(axis=1), 1)).all()


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_promised(target: float):
    """Over 200 drawings of 300 images to fit and 300 to test on, the mean coverage is the target."""
    covered = []
    for seed in range(200):
        logits, truth = drawn_case(600, seed=seed)
        probabilities = softmax(logits, 0.5)  # far too sure: the promise does not lean on good probabilities
        threshold = filled(set_thresholds=conformal_thresholds(probabilities[:300], truth[:300]))
        members = prediction_sets(probabilities[300:], threshold.set_threshold(target))
        covered.append(members[np.arange(300), truth[300:]].mean())
    error = np.std(covered) / np.sqrt(len(covered))
    assert target - 3 * error <= np.mean(covered) <= target + 1 / 301 + 3 * error


def test_sets_are_nested():
    thresholds = conformal_thresholds(np.random.default_rng(0).random((200, 1)), np.zeros(200, int))
    assert list(thresholds) == sorted(thresholds, reverse=True)
    assert thresholds[-1] == 0  # 200 images cannot promise 99.9 %


def test_a_level_between_two_is_served_by_the_higher():
    calibration = filled()
    assert calibration.set_threshold(0.9) == calibration.set_thresholds[400]
    assert calibration.set_threshold(0.9001) == calibration.set_thresholds[401]
    assert calibration.set_threshold(0.7) == calibration.set_thresholds[200]  # 0.7 * 1000 is 700 here
    for coverage in (0.4, 0.4999, 0.9995, 95, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"expected a share from 0\.5 to 0\.999, got"):
            calibration.set_threshold(coverage)


# ---- abstention ----


CONFIDENCES = st.sampled_from([0.2, 0.4, 0.6, 0.8, 0.9, 0.1234567, 0.7654321])


@given(st.lists(st.tuples(CONFIDENCES, st.booleans()), min_size=1, max_size=40), st.floats(0.1, 1))
def test_abstention_as_in_the_loop_version(images: list[tuple[float, bool]], target: float):
    confidence, right = map(np.array, zip(*images, strict=True))
    found = fit_abstention(confidence, right, target)
    expected = naive.abstention(confidence.tolist(), right.tolist(), target)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.threshold == pytest.approx(expected, abs=2e-6)
        given_answers = confidence >= found.threshold
        assert found.coverage == pytest.approx(given_answers.mean(), abs=1e-6)
        assert found.selective_accuracy == pytest.approx(right[given_answers].mean(), abs=1e-6)


# ---- as plain values ----


def test_a_calibration_survives_json():
    for calibration in (filled(), filled(abstention=None, bias=(0.1, -0.1))):
        again = json.loads(json.dumps(to_plain(calibration)))
        assert from_plain(Calibration, again, "calibration") == calibration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set_thresholds": [0.5]}, "expected 500 numbers in 0..1, found 1 values"),
        ({"set_thresholds": [2.0] * 500}, "expected 500 numbers in 0..1"),
        ({"bias": ["a"]}, r"calibration.bias\[0\]: expected a number, found 'a'"),
        ({"abstention": {"threshold": 1.5, "selective_accuracy": 1, "coverage": 1}}, "threshold in 0..1"),
        (
            {"abstention": {"nonsense": 1}},
            "calibration.abstention: expected the keys threshold, .* 'nonsense'",
        ),
        ({"fitted_on": [1]}, "fitted_on: expected an object, found a list of 1"),
        ({"fitted_on": None}, "fitted_on: expected an object, found nothing"),
        ({"fitted_on": {"n": None}}, "fitted_on: expected n to be a number of images, found None"),
        (
            {"abstention": {"threshold": 0.5, "selective_accuracy": 2, "coverage": 1}},
            "expected a selective_accuracy in 0..1, found 2",
        ),
        (
            {"abstention": {"threshold": 0.5, "selective_accuracy": "x", "coverage": 1}},
            "selective_accuracy: expected a number, found 'x'",
        ),
        ({"set_thresholds": None}, "calibration.set_thresholds: expected a list, found nothing"),
    ],
)
def test_bad_values_are_named(change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        from_plain(Calibration, {**to_plain(filled()), **change}, "calibration")

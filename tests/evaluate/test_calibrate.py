"""Calibration as if classes were equally frequent; the rest of it is tested with the command."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfer import calibration
from crossfer.calibration import BiasTrial, softmax
from crossfer.console import as_text
from crossfer.evaluate import calibrate as calibrating
from crossfer.evaluate.calibrate import Calibrated, calibrate, with_balance
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.leaks import Leaks
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.tables import calibration_tables
from crossfer.metrics import stated_accuracy
from crossfer.runtime.bundle import BundleMeta
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
    about = About("toy", "valid", "as given", "none", META.name, "abc", tuple(META.labels))
    names = tuple(map(str, range(n)))
    return Predictions(about, names, names, truth, logits.astype("f4"), softmax(logits), None)


def _likelihood(points: np.ndarray) -> np.ndarray:
    return -((points[:, None] - CENTRES) ** 2).sum(axis=2) / 2


SHARES = 0.4 ** np.arange(K) / (0.4 ** np.arange(K)).sum()


@pytest.fixture(autouse=True)
def _one_drawing_of_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FOLDINGS", 1)  # for speed: here the other nine change nothing


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


def test_what_the_network_may_know_and_what_got_no_answer_is_left_out(unbalanced: Predictions) -> None:
    some = unbalanced.select(np.arange(300))
    lost, known = np.arange(20), np.arange(20, 70)
    logits, truth = some.logits.copy(), some.truth.copy()
    logits[lost] = np.nan
    logits[known, truth[known]] += 50  # learnt by heart
    seen = replace(some, logits=logits, probabilities=softmax(logits))
    leaks = Leaks({"train": 9}, frozenset(), frozenset(some.paths[i] for i in known))
    found, alone = calibrate(META, seen, leaks), calibrate(META, some.select(np.arange(70, 300)), None)
    told = found.calibration.fitted_on
    assert (told["n"], told["left_out"], told["looked_in"]) == (230, 70, {"train": 9})
    assert found.meta.temperature == alone.meta.temperature
    assert replace(found.calibration, fitted_on={}) == replace(alone.calibration, fitted_on={})


def test_abstention_is_as_right_as_was_asked_for(unbalanced: Predictions) -> None:
    some, coverages = unbalanced.select(np.arange(400)), []
    for target in (0.9, 0.98):
        found = calibrate(META, some, None, selective_accuracy=target).calibration
        assert found.fitted_on["selective_accuracy"] == target
        assert found.abstention is not None
        assert found.abstention.selective_accuracy >= target
        coverages.append(found.abstention.coverage)
    assert coverages[0] > coverages[1] + 0.05


def test_before_is_what_the_bundle_answered(unbalanced: Predictions) -> None:
    some = unbalanced.select(np.arange(400))
    once = calibrate(META, some, None, balance=0.5)
    again = calibrate(once.meta, some, None)
    assert again.before.to_dict() == once.after.to_dict()


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
    rarest = found.after.per_class[-1]
    assert rarest.recall is not None
    assert rarest.precision is not None
    (line,) = [line.split() for line in text.splitlines() if line.split()[:1] == [META.labels[-1]]]
    assert (line[3], line[5]) == (f"{100 * rarest.recall:.2f}", f"{100 * rarest.precision:.2f}")
    plain = as_text(calibration_tables(calibrate(META, unbalanced, None)))
    assert "balance" not in plain
    # The sets keep their promise, being fitted to these probabilities.
    answered = replace(
        unbalanced, probabilities=softmax(unbalanced.logits, found.meta.temperature, found.meta.bias)
    )
    sets = measure(answered, found.calibration).sets
    assert sets is not None
    assert all(held.coverage >= held.target for held in sets)


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_a_class_without_images_keeps_its_share(unbalanced: Predictions, balance: float) -> None:
    seen = unbalanced.select(unbalanced.truth != K - 1)
    bias = np.array(balanced(seen, balance).meta.bias)
    plain = np.array(balanced(seen, 0.0).meta.bias or np.zeros(K))
    old = np.bincount(seen.truth) / len(seen)
    new = old ** (1 - balance) / np.sum(old ** (1 - balance))
    np.testing.assert_allclose(bias - plain, np.append(np.log(new / old), 0), atol=1e-3)


def test_a_rare_class_does_not_raise_one_without_images() -> None:
    """Of 990 and 10 images and none the last has 0.4 beside 0.6: 0.6 / (2 * 0.99) of the first is left."""
    truth = np.repeat([0, 1], [990, 10])
    shown = drawn(SHARES, 1000, seed=0)
    sure = np.where(np.arange(K) == truth[:, None], 5.0, 0.0).astype("f4")
    seen = replace(shown, truth=truth, logits=sure)
    bias = np.array(balanced(seen, 1.0).meta.bias) - np.array(balanced(seen, 0.0).meta.bias or np.zeros(K))
    weights = np.array([0.6, 0.4]) * np.exp(bias[[0, -1]])
    assert weights[1] / weights.sum() == pytest.approx(0.4 / (0.4 + 0.6 / (2 * 0.99)), abs=1e-3)


def test_near_copies_go_into_one_fold(unbalanced: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the search for leaks found; without one, those with the same pixels."""
    some, given = unbalanced.select(np.arange(120)), []
    monkeypatch.setattr(calibrating, "try_bias", lambda *case: given.append(case[2]) or BiasTrial(0, 1))
    near = {path: int(path) // 2 for path in unbalanced.paths}
    calibrate(META, some, Leaks({"train": 1}, frozenset(), frozenset({"0"}), groups=near))
    calibrate(META, some, None)
    assert given[0].tolist() == [i // 2 for i in range(1, 120)]
    assert len(np.unique(given[1])) == 120


def trained_with(balance: object) -> BundleMeta:
    return replace(META, provenance={**META.provenance, "recipe": {"balance": balance}})


def test_a_network_that_was_trained_balanced_stays_so(unbalanced: Predictions) -> None:
    logits = (unbalanced.logits - 2 * np.log(SHARES)).astype("f4")
    even = replace(unbalanced, logits=logits, probabilities=softmax(logits))
    kept = calibrate(trained_with(1.0), even, None)
    assert kept.calibration.fitted_on["balance"] == 1.0
    asked = calibrate(trained_with(1.0), even, None, balance=0.0)
    lost = kept.before.mean_class_accuracy - asked.after.mean_class_accuracy
    assert lost > 0.05
    assert abs(kept.after.mean_class_accuracy - kept.before.mean_class_accuracy) < 0.2 * lost
    assert asked.after.accuracy > kept.after.accuracy + 0.02
    for nonsense in (None, "1", 3.0, True):
        assert calibrate(trained_with(nonsense), unbalanced, None).calibration.fitted_on["balance"] == 0


def test_what_answers_otherwise_is_called_otherwise_and_has_its_own_scores(unbalanced: Predictions) -> None:
    old = {"scores": {"valid": {"accuracy": 0.99, "n": 1}, "test": {"accuracy": 0.98, "n": 1}}, "data": "toy"}
    meta = replace(META, provenance=old)
    found = calibrate(meta, unbalanced, None, balance=0.5)
    assert found.meta.name == f"{META.name}-balance-0.5"
    assert found.meta.provenance["data"] == "toy"
    assert list(found.meta.provenance["scores"]) == ["valid"]
    assert found.meta.provenance["scores"]["valid"]["n"] == len(unbalanced)
    assert found.meta.provenance["scores"]["valid"]["accuracy"] == pytest.approx(found.after.accuracy)
    named = {key: found.meta.provenance["scores"]["valid"][key] for key in ("data", "split", "protocol")}
    assert named == {key: getattr(unbalanced.about, key) for key in named}
    again = calibrate(found.meta, unbalanced, None, balance=1.0)
    assert again.meta.name == f"{META.name}-balance-1"
    assert calibrate(again.meta, unbalanced, None).meta.name == META.name
    same = calibrate(found.meta, unbalanced, None, balance=0.5).meta
    assert (same.name, same.provenance) == (found.meta.name, found.meta.provenance)


@pytest.mark.parametrize(
    ("name", "balance", "expected"),
    [
        ("base", 0.0, "base"),
        ("base", 1e-05, "base-balance-1e-05"),
        ("base-balance-1e-05", 0.0, "base"),
        ("base-int8", 0.5, "base-int8-balance-0.5"),
        ("base-balance-0.5-int8", 0.25, "base-int8-balance-0.25"),
        ("base-balance-0.5-int8", 0.0, "base-int8"),
        ("in-balance", 0.0, "in-balance"),
        ("base-balance-1-mine", 0.0, "base-balance-1-mine"),
    ],
)
def test_a_name_says_the_last_balance_alone(name: str, balance: float, expected: str) -> None:
    assert with_balance(name, balance) == expected


def test_a_bias_that_is_gone_is_gone_from_the_name(unbalanced: Predictions) -> None:
    seen = unbalanced.select(np.arange(300))
    found = calibrate(replace(META, name="base-balance-0.5-int8"), seen, None)
    assert (found.meta.bias, found.meta.name) == ((), "base-int8")


def test_it_states_its_own_score_where_no_answer_changed_too(unbalanced: Predictions) -> None:
    """Of the model that answers alike the scores on other splits stay."""
    old = {"scores": {"valid": {"accuracy": 0.99, "n": 1}, "test": {"accuracy": 0.98, "n": 1}}}
    first = calibrate(META, unbalanced, None, balance=0.0).meta
    again = calibrate(replace(first, provenance=old), unbalanced, None, balance=0.0)
    assert (again.meta.bias, again.meta.temperature) == (first.bias, first.temperature)
    about = unbalanced.about
    right = softmax(unbalanced.logits, first.temperature, first.bias).argmax(axis=1) == unbalanced.truth
    stated = stated_accuracy(right, about.data, about.split, about.protocol)
    assert again.meta.provenance["scores"] == {"valid": stated, "test": old["scores"]["test"]}


def test_beside_a_bias_another_temperature_is_another_model(unbalanced: Predictions) -> None:
    first = calibrate(META, unbalanced, None, balance=1.0).meta
    old = {"scores": {"test": {"accuracy": 0.98, "n": 1}}}
    moved = replace(first, temperature=2 * first.temperature, provenance=old)
    assert list(calibrate(moved, unbalanced, None, balance=1.0).meta.provenance["scores"]) == ["valid"]

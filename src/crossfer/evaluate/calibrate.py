"""Fits what a bundle says about its own certainty, on validation images that it has not learnt from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfer.calibration import (
    BiasTrial,
    Calibration,
    conformal_thresholds,
    fit_abstention,
    fit_bias,
    fit_temperature,
    softmax,
    try_bias,
)
from crossfer.data.sample import DataError
from crossfer.defaults import SELECTIVE_ACCURACY
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.leaks import Leaks
from crossfer.evaluate.predictions import Predictions
from crossfer.evaluate.result import EvaluationResult, plain
from crossfer.metrics import stated_accuracy
from crossfer.runtime.bundle import BundleMeta

SET_COVERAGES = (0.8, 0.9, 0.95, 0.99)  # of the prediction sets that are shown
FEWEST = 100  # images below which quantiles and a bias would be guesses


@dataclass(frozen=True)
class Calibrated:
    """What calibration found.

    Attributes:
        meta: the bundle's metadata with the calibration.
        bias_trial: whether a bias for each class helped.
        before: the figures of the images used, with the bundle's former temperature.
        after: the same with what was fitted, on the same images.
    """

    meta: BundleMeta
    bias_trial: BiasTrial
    before: EvaluationResult
    after: EvaluationResult

    @property
    def calibration(self) -> Calibration:
        """What was fitted."""
        assert self.meta.calibration is not None  # noqa: S101 - fitted just now
        return self.meta.calibration

    @property
    def unseen(self) -> list[str]:
        """Classes without images among those used."""
        pairs = zip(self.meta.labels, self.after.per_class, strict=True)
        return [name for name, scores in pairs if not scores.support]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``crossfer calibrate --format json`` writes them."""
        calibration = self.calibration
        figures = ("accuracy", "mean_class_accuracy", "nll", "brier", "ece", "ece_equal_mass", "per_class")
        before, after = self.before.to_dict(), self.after.to_dict()
        return plain(
            {
                "model": self.meta.name,
                "temperature": self.meta.temperature,
                "bias": list(calibration.bias),
                "bias_trial": {**vars(self.bias_trial), "helps": self.bias_trial.helps},
                "abstention": calibration.abstention,
                "set_thresholds": {str(c): calibration.set_threshold(c) for c in SET_COVERAGES},
                "fitted_on": calibration.fitted_on,
                "before": {name: before[name] for name in figures},
                "after": {name: after[name] for name in figures},
            }
        )


def calibrate(
    meta: BundleMeta,
    predictions: Predictions,
    leaks: Leaks | None,
    *,
    selective_accuracy: float = SELECTIVE_ACCURACY,
    balance: float | None = None,
) -> Calibrated:
    """Fits temperature, bias, thresholds of prediction sets and abstention.

    Images that occur, exactly or nearly, in the splits that were looked through are left out: what a network
    has learnt by heart would make it too sure. A bias for each class is kept only if it lowers the negative
    log-likelihood in five-fold cross-validation, the mean of ten, by more than twice the standard error of
    that gain; folds keep images together that are nearly the same (identical, if ``leaks`` is None).
    Temperature and thresholds are fitted on the same images: one number fitted on thousands of images moves
    the coverage by far less than its own sampling error.

    Args:
        meta: of the bundle.
        predictions: its answers to validation images.
        leaks: which of these occur elsewhere; None if nothing could be looked through.
        selective_accuracy: share of right answers that abstention has to give, between 0 and 1.
        balance: 0 for probabilities among images in which classes are as frequent as in these, 1 as if all
            were equally frequent (Saerens et al. 2002), and between them for what lies between; None for the
            balance with which the network was trained. Sets and abstention are fitted to images like these
            whatever it is.

    Raises:
        DataError: if fewer than ``FEWEST`` images are left, or all of one class.
    """
    used = _usable(predictions, leaks)
    trial = try_bias(used.logits, used.truth, _fold_groups(used, leaks))
    trained = balance_in_training(meta)
    balance = trained if balance is None else balance
    # What learnt a balance has to know how frequent classes are before it can be told otherwise.
    temperature, bias = _scale(used, with_bias=trial.helps or trained > 0, balance=balance)
    fitted = _reread(used, temperature, bias)
    calibration = Calibration(
        bias=tuple(bias.tolist()),
        set_thresholds=conformal_thresholds(fitted.probabilities, fitted.truth),
        abstention=fit_abstention(fitted.confidence, fitted.right, selective_accuracy),
        fitted_on={
            **_fitted_on(predictions, used, leaks),
            "selective_accuracy": selective_accuracy,
            "balance": balance,
        },
    )
    new = replace(meta, temperature=temperature, calibration=calibration)
    new = _restated(meta, new, balance, _reread(predictions, temperature, bias))
    return Calibrated(new, trial, measure(_reread(used, meta.temperature, meta.bias)), measure(fitted))


def _usable(predictions: Predictions, leaks: Leaks | None) -> Predictions:
    """Those that were answered and occur in no other split; of two classes, or one would always be right."""
    clean = [leaks is None or path not in leaks.nearly for path in predictions.paths]
    used = predictions.select(predictions.answered & np.array(clean))
    if len(used) < FEWEST:
        raise DataError(
            f"expected at least {FEWEST} images to calibrate on that do not occur in train, "
            f"found {len(used)} of {len(predictions)}; use more validation images"
        )
    classes = np.unique(used.truth)
    if len(classes) < 2:
        raise DataError(
            f"expected images of at least two classes, found only {used.about.labels[classes[0]]}; "
            "check --root and --split"
        )
    return used


def _fold_groups(used: Predictions, leaks: Leaks | None) -> np.ndarray:
    """For each image a number that images share which go into one fold (N,)."""
    near = None if leaks is None else leaks.groups
    return used.groups if near is None else np.array([near[path] for path in used.paths])


def _scale(used: Predictions, *, with_bias: bool, balance: float) -> tuple[float, np.ndarray]:
    """Temperature and bias (K,), which is empty for none, in the digits that are stored."""
    if with_bias:
        temperature, bias = fit_bias(used.logits, used.truth)
    else:
        temperature, bias = fit_temperature(used.logits, used.truth), np.zeros(0)
    if balance:
        bias = (bias if len(bias) else 0) + _evening(used, balance)
    return round(temperature, 4), np.round(bias, 4)


def _reread(predictions: Predictions, temperature: float, bias: Sequence[float] | np.ndarray) -> Predictions:
    """The predictions with the probabilities of another calibration."""
    return replace(predictions, probabilities=softmax(predictions.logits, temperature, bias))


def _evening(used: Predictions, balance: float) -> np.ndarray:
    """The bias (K,) of other shares of the classes (Saerens et al. 2002): new over old, as a logarithm.

    The new shares are the old ones to the power of 1 - ``balance``, of those classes together that have
    images; the others keep theirs.
    """
    counts = np.bincount(used.truth, minlength=used.logits.shape[1])
    seen = counts > 0
    shares = counts[seen] / counts.sum()
    evened = shares ** (1 - balance)
    bias = np.zeros(len(counts))
    bias[seen] = np.log(evened / evened.sum() / shares)
    return bias


def balance_in_training(meta: BundleMeta) -> float:
    """How far the network learnt that classes are equally frequent, 0..1: its recipe's ``balance``."""
    recipe = meta.provenance.get("recipe")
    found = recipe.get("balance", 0.0) if isinstance(recipe, Mapping) else 0.0
    return found if isinstance(found, float) and 0 <= found <= 1 else 0.0


def with_balance(name: str, balance: float) -> str:
    """A model's name that ends in the balance of its bias, or in none where that is 0.

    What ``calibrate`` wrote there before is left out, also where ``quantize`` has added to it since.

    >>> with_balance("base-balance-0.5-int8", 1.0)
    'base-int8-balance-1'
    """
    bare = re.sub(r"-balance-[\d.]+(e-\d+)?(?=(-int8)?$)", "", name)
    return f"{bare}-balance-{balance:g}" if balance else bare


def _restated(old: BundleMeta, new: BundleMeta, balance: float, answers: Predictions) -> BundleMeta:
    """With the score of these answers.

    What gives other answers than before is another model: the name says with which balance, and scores on
    other splits, which are not its own, are dropped. A temperature alone changes no answer, beside a bias it
    does.
    """
    about, scores = answers.about, old.provenance.get("scores")
    stated = {about.split: stated_accuracy(answers.right, about.data, about.split, about.protocol)}
    alike = old.bias == new.bias and (not new.bias or old.temperature == new.temperature)
    if alike and isinstance(scores, Mapping):
        stated = {**scores, **stated}
    return replace(
        new,
        name=with_balance(old.name, balance),
        provenance={**old.provenance, "scores": stated},
    )


def _fitted_on(predictions: Predictions, used: Predictions, leaks: Leaks | None) -> Mapping[str, Any]:
    about = predictions.about
    return {
        "data": about.data,
        "split": about.split,
        "protocol": about.protocol,
        "n": len(used),
        "left_out": len(predictions) - len(used),
        "looked_in": {} if leaks is None else dict(leaks.looked_in),
    }

"""What several runs say together: one recipe's mean, two networks on the same images, two recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from crossfer.evaluate.predictions import Predictions
from crossfer.evaluate.result import Interval
from crossfer.evaluate.run_file import Run, RunError
from crossfer.labels import canonical
from crossfer.metrics import bootstrap_resamples, mcnemar, percentile_interval, t_quantile

RESAMPLES, SEED = 2000, 0
FEWEST_SEEDS = 3  # of each recipe, below which nothing is concluded about them
ROUNDING = 1e-3  # by which logits of one network may differ, as between two machines
FIGURES = ("accuracy", "mean_class_accuracy", "macro_f1", "nll", "brier", "ece", "ece_equal_mass", "aurc")


@dataclass(frozen=True)
class Spread:
    """A figure over several runs: its mean and its standard deviation (n - 1)."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class AggregateResult:
    """One recipe over several runs on the same images.

    Attributes:
        runs: their names.
        n: images.
        figures: mean and standard deviation of each figure that all runs have.
    """

    runs: tuple[str, ...]
    n: int
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class PairResult:
    """Two networks on the same images.

    Attributes:
        first: name of the first.
        second: name of the second.
        n: images.
        distinct: different ones among them.
        accuracies: of the first and of the second, in 0..1.
        difference: second less first.
        interval: 95 % paired bootstrap interval of it, identical images drawn together.
        only_first: images that only the first gets right.
        only_second: images that only the second gets right.
        p_value: of McNemar's exact test.
    """

    first: str
    second: str
    n: int
    distinct: int
    accuracies: tuple[float, float]
    difference: float
    interval: Interval
    only_first: int
    only_second: int
    p_value: float

    @property
    def statement(self) -> str:
        """What may be concluded, in words."""
        low, high = self.interval
        sure = "differ" if self.p_value < 0.05 and not low <= 0 <= high else "cannot be told apart"
        return (
            f"On images like these {self.n:,}, these two networks {sure}: {self.second} is "
            f"{100 * self.difference:+.2f} points from {self.first} (95 % interval {100 * low:+.2f} to "
            f"{100 * high:+.2f}; McNemar p = {self.p_value:.3g}; they differ if both say so). This is about "
            "these two networks only: another seed of either recipe is another network."
        )


@dataclass(frozen=True)
class RecipeResult:
    """Two recipes, each with runs from several seeds, on the same images.

    Attributes:
        first: the first recipe's accuracy over its runs.
        second: the second's.
        runs: how many runs each has.
        n: images.
        difference: second's mean accuracy less the first's.
        interval: 95 % interval of it over seeds and images together.
    """

    first: Spread
    second: Spread
    runs: tuple[int, int]
    n: int
    difference: float
    interval: Interval

    @property
    def statement(self) -> str:
        """What may be concluded, in words."""
        low, high = self.interval
        sure = "differ" if not low <= 0 <= high else "cannot be told apart"
        if min(self.runs) < FEWEST_SEEDS:
            sure = f"are not judged: that takes at least {FEWEST_SEEDS} seeds of each"
        return (
            f"Over seeds and images like these the two recipes {sure}; {100 * self.difference:+.2f} points "
            f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}; {self.runs[0]} and {self.runs[1]} seeds, "
            f"n = {self.n:,})."
        )


def aggregate(runs: Sequence[Run]) -> AggregateResult:
    """Mean and standard deviation of each figure over runs on the same images.

    Raises:
        RunError: if there are fewer than two runs, they are not about the same images, or two are of one
            network.
    """
    if len(runs) < 2:
        raise RunError(f"expected at least two runs to aggregate, got {len(runs)}")
    _aligned([run.predictions for run in runs])
    _require_seeds(runs)
    figures = {
        name: _spread(values)
        for name in FIGURES
        if None not in (values := [getattr(run.result, name) for run in runs])
    }
    return AggregateResult(tuple(run.name for run in runs), len(runs[0].predictions), figures)


def compare_networks(first: Predictions, second: Predictions, names: tuple[str, str]) -> PairResult:
    """A paired test of two networks.

    Args:
        first: the answers of one.
        second: the answers of the other.
        names: what the two are called.

    Raises:
        RunError: if the answers are not about the same images.
    """
    rows, groups = _aligned([first, second])
    one, other = rows
    differences = other.astype(np.int64) - one
    drawn = bootstrap_resamples(len(one), RESAMPLES, groups=groups, seed=SEED)
    only_first, only_second = int(np.sum(differences < 0)), int(np.sum(differences > 0))
    return PairResult(
        *names,
        n=len(one),
        distinct=len(np.unique(groups)),
        accuracies=(float(one.mean()), float(other.mean())),
        difference=float(differences.mean()),
        interval=percentile_interval([float(differences[rows].mean()) for rows in drawn]),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


def compare_recipes(first: Sequence[Run], second: Sequence[Run]) -> RecipeResult:
    """Two recipes over seeds and images.

    The variance of the difference is that of the two means over seeds plus that over images (identical ones
    together) of what the recipes differ by on each. The interval is Student's t with the degrees of freedom
    of Welch and Satterthwaite, which few seeds make few.

    Raises:
        RunError: if a recipe has fewer than two runs, the runs are not about the same images, or two of a
            recipe are of one network.
    """
    if min(len(first), len(second)) < 2:
        raise RunError(
            f"expected at least two runs (seeds) of each recipe, got {len(first)} and {len(second)}; "
            "one run each compares two networks"
        )
    rows, groups = _aligned([run.predictions for run in (*first, *second)])
    _require_seeds(first)
    _require_seeds(second)
    one, other = rows[: len(first)].astype(float), rows[len(first) :].astype(float)
    spreads = [_spread(side.mean(axis=1).tolist()) for side in (one, other)]
    difference = spreads[1].mean - spreads[0].mean
    over_images, distinct = _variance_over_images(other.mean(axis=0) - one.mean(axis=0), groups)
    parts = [
        (spreads[0].deviation ** 2 / len(one), len(one) - 1),
        (spreads[1].deviation ** 2 / len(other), len(other) - 1),
        (over_images, distinct - 1),
    ]
    margin = _margin([(part, of_part) for part, of_part in parts if part > 0 and of_part > 0])
    return RecipeResult(
        *spreads,
        runs=(len(first), len(second)),
        n=rows.shape[1],
        difference=difference,
        interval=(difference - margin, difference + margin),
    )


def _variance_over_images(differences: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Of the mean of (N,) differences, those of one group drawn together; and how many groups there are."""
    names, place = np.unique(groups, return_inverse=True)
    beyond = np.bincount(place, differences - differences.mean())
    return float(np.sum(beyond**2)) / len(differences) ** 2, len(names)


def _margin(parts: Sequence[tuple[float, int]]) -> float:
    """Half a 95 % interval whose variance is a sum of estimates, each with its degrees of freedom."""
    if not parts:
        return 0.0
    variance = sum(part for part, _ in parts)
    degrees = variance**2 / sum(part**2 / of_part for part, of_part in parts)
    return t_quantile(degrees) * variance**0.5


def _require_seeds(runs: Sequence[Run]) -> None:
    """Refuse one network as two seeds: its answers are the same, which is no sign of how seeds differ."""
    for first, second in combinations(runs, 2):
        about, other = first.predictions.about, second.predictions.about
        if about.detector != other.detector:
            continue
        if about.model_sha256 == other.model_sha256:
            found = f"the same one ({about.model}, SHA-256 {about.model_sha256[:12]})"
        elif _same_logits(first.predictions, second.predictions):
            found = "the same one (the same logits on every image; a calibrated copy is no other network)"
        else:
            continue
        raise RunError(
            f"expected runs of different networks on one side, found {first.name} and {second.name} of "
            f"{found}; leave one out"
        )


def _same_logits(first: Predictions, second: Predictions) -> bool:
    """Whether two runs on the same images have the same logits, but for how machines round."""
    if [*map(canonical, first.about.labels)] != [*map(canonical, second.about.labels)]:
        return False
    one, other = (answers.logits[_order(answers)] for answers in (first, second))
    return np.allclose(one, other, rtol=0, atol=ROUNDING, equal_nan=True)


def _order(answers: Predictions) -> np.ndarray:
    """The images (N,) by pixels and the name of their label."""
    return np.lexsort((_names(answers), np.array(answers.digests)))


def _names(answers: Predictions) -> np.ndarray:
    """The true class of each image (N,): networks may order and spell their classes otherwise."""
    return np.array([canonical(name) for name in answers.about.labels])[answers.truth]


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)))


def _aligned(all_predictions: Sequence[Predictions]) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of each run (R, N) with the same image in each column, and the images' groups (N,).

    Images are told by their pixels and label, for a run may come from another machine: of images equal in
    both it does not matter which is which, since a network answers them alike.
    """
    reference = all_predictions[0]
    orders = [_order(p) for p in all_predictions]
    keys = [
        (np.array(p.digests)[order].tolist(), _names(p)[order].tolist())
        for p, order in zip(all_predictions, orders, strict=True)
    ]
    for predictions, key in zip(all_predictions, keys, strict=True):
        if key != keys[0]:
            shared = len(set(reference.digests) & set(predictions.digests))
            raise RunError(
                "expected runs on the same images with the same labels, found "
                f"{_about(reference)} and {_about(predictions)} with {shared:,} different images in common"
            )
    right = np.stack([p.right[order] for p, order in zip(all_predictions, orders, strict=True)])
    return right, reference.groups[orders[0]]


def _about(predictions: Predictions) -> str:
    about = predictions.about
    return f"{about.data} {about.split} ({about.protocol}, n = {len(predictions):,})"

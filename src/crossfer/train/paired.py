"""Rows of a study against each other: differences over the seeds that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from crossfer.metrics import t_quantile
from crossfer.train.trial_result import TrialResult

Metric = Literal["valid_accuracy", "valid_mean_class_accuracy"]


@dataclass(frozen=True)
class Difference:
    """A row against another one over the seeds that both have.

    Attributes:
        mean: mean of the differences.
        margin: half the width of its 95 % interval (Student's t over seeds); None with a single seed.
        seeds: how many both have.
    """

    mean: float
    margin: float | None
    seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval does."""
        return self.margin is not None and abs(self.mean) > self.margin


def paired_difference(
    row: Sequence[TrialResult], reference: Sequence[TrialResult], metric: Metric = "valid_accuracy"
) -> Difference | None:
    """Difference of a metric of two rows, paired by seed; None if no seed has it in both."""
    ours, theirs = (
        {r.seed: value for r in results if (value := getattr(r, metric)) is not None}
        for results in (row, reference)
    )
    differences = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    if not differences:
        return None
    n = len(differences)
    margin = t_quantile(n - 1) * stdev(differences) / n**0.5 if n > 1 else None
    return Difference(mean(differences), margin, n)


def plus_minus(values: Sequence[float], digits: int) -> str:
    """Mean and sample standard deviation with so many decimals; a single value has no deviation."""
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"

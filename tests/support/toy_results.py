"""Results of trials that nobody ran."""

from __future__ import annotations

from crossfer.train.trial_result import TrialResult


def toy_result(row: str, seed: int, accuracy: float) -> TrialResult:
    return TrialResult(row, seed, accuracy, accuracy, 1.0, 10, 5, 2, 1.0, "32-true", "abc", {})

"""A model under corrupted images: one pass for each kind and strength."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from crossfer.data.sample import Dataset
from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crossfer.evaluate.predictions import predict
from crossfer.evaluate.result import CorruptionResult, EvaluationResult
from crossfer.runtime.recognizer import Recognizer

PASSES = len(CORRUPTIONS) * len(STRENGTHS)


def measure_robustness(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> CorruptionResult:
    """Accuracy at each strength of each corruption; other arguments and errors are those of ``predict``."""

    def accuracy(kind: str, strength: int) -> float:
        def transform(pixels: np.ndarray, digest: str) -> np.ndarray:
            return corrupt(pixels, kind, strength, digest=digest, seed=seed)

        found = predict(recognizer, dataset, transform=transform, progress=progress)
        return float(found.right.mean())

    by_kind = {kind: tuple(map(partial(accuracy, kind), STRENGTHS)) for kind in CORRUPTIONS}
    return CorruptionResult(seed, by_kind, float(np.mean(list(by_kind.values()))))


def curves(result: EvaluationResult) -> dict[str, tuple[float, ...]]:
    """For each kind of corruption the accuracy at strengths 0 to 5; 0 is the image as it is.

    Without ``corruptions`` there are no curves.
    """
    measured = {} if result.corruptions is None else result.corruptions.accuracy
    return {kind: (result.accuracy, *accuracies) for kind, accuracies in measured.items()}

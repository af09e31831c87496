"""A model under corrupted images: one pass for each kind and strength."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from crossfer.data.sample import Dataset
from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crossfer.evaluate.predictions import Transform, predict
from crossfer.evaluate.result import CorruptionResult, EvaluationResult
from crossfer.evaluate.unreadable import Unreadable
from crossfer.runtime.recognizer import Recognizer

PASSES = len(CORRUPTIONS) * len(STRENGTHS)


def measure_robustness(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    seed: int = 0,
    unreadable: Unreadable | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> CorruptionResult:
    """Accuracy at each strength of each corruption; other arguments and errors are those of ``predict``.

    Every pass counts the same images: one that cannot be read in the last is not counted in the first either.
    """
    unreadable = unreadable or Unreadable()
    rights: list[np.ndarray] = []
    for kind, strength in product(CORRUPTIONS, STRENGTHS):
        worse = _corruption(kind, strength, seed)
        found = predict(recognizer, dataset, transform=worse, unreadable=unreadable, progress=progress)
        if len(found) < len(dataset):
            kept = unreadable.readable(dataset.samples)
            rights, dataset = [right[kept] for right in rights], unreadable.without(dataset)
        rights.append(found.right)
    accuracies = np.mean(rights, axis=1).reshape(len(CORRUPTIONS), len(STRENGTHS)).tolist()
    by_kind = {kind: tuple(each) for kind, each in zip(CORRUPTIONS, accuracies, strict=True)}
    return CorruptionResult(seed, by_kind, float(np.mean(list(by_kind.values()))))


def _corruption(kind: str, strength: int, seed: int) -> Transform:
    def transform(pixels: np.ndarray, digest: str) -> np.ndarray:
        return corrupt(pixels, kind, strength, digest=digest, seed=seed)

    return transform


def curves(result: EvaluationResult) -> dict[str, tuple[float, ...]]:
    """For each kind of corruption the accuracy at strengths 0 to 5; 0 is the image as it is.

    Without ``corruptions`` there are no curves.
    """
    measured = {} if result.corruptions is None else result.corruptions.accuracy
    return {kind: (result.accuracy, *accuracies) for kind, accuracies in measured.items()}

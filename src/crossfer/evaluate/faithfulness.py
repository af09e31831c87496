"""Do the evidence maps point at what an answer depends on? Deletion and insertion against random orders.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018: if
a map is faithful, deleting what it ranks first makes the probability of the answer fall fast, and inserting
it into an empty image makes it rise fast. Here the parts are the cells of the evidence, not pixels, and an
empty cell shows the mean colour of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crossfer.data.sample import DataError, Dataset
from crossfer.evaluate.result import EvidenceResult
from crossfer.evaluate.unreadable import Unreadable
from crossfer.metrics import bootstrap_resamples, percentile_interval
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Prediction

STEPS = 12
IMAGES = 300  # that are drawn; all if there are fewer
RESAMPLES = 1000
FILL = "mean colour of the image"
# An image's areas: deletion by evidence, deletion at random, insertion by evidence, insertion at random.
Areas = tuple[float, float, float, float]


def measure_evidence(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    seed: int = 0,
    unreadable: Unreadable | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> EvidenceResult:
    """Compares the order of the evidence with a random order, image by image.

    Cells are ranked by the evidence for the answer beyond the mean of all classes, for that is what decides.

    Args:
        recognizer: the model; its answers to face crops are tested.
        dataset: face crops, of which up to ``IMAGES`` are drawn without replacement.
        seed: of that draw and of the random orders.
        unreadable: what to do about images that cannot be read, by default to stop.
        progress: called with the number of images done since the last call.

    Raises:
        DataError: if there are no images that can be read, or one cannot be and is not skipped.
    """
    if not dataset.samples:
        raise DataError(f"{dataset.name}: expected at least one image, found none")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(dataset))[:IMAGES]
    unreadable = unreadable or Unreadable()
    areas = np.array(
        list(_all_areas(recognizer, dataset, drawn, rng, unreadable=unreadable, progress=progress))
    )
    if not len(areas):
        raise DataError(f"{dataset.name}: expected at least one image that can be read, found none")
    deletion, deletion_random, insertion, insertion_random = map(float, areas.mean(axis=0))
    return EvidenceResult(
        n=len(areas),
        seed=seed,
        fill=FILL,
        deletion=deletion,
        deletion_random=deletion_random,
        deletion_gain=_gain(areas[:, 1] - areas[:, 0], seed),
        insertion=insertion,
        insertion_random=insertion_random,
        insertion_gain=_gain(areas[:, 2] - areas[:, 3], seed),
    )


def _gain(differences: np.ndarray, seed: int) -> tuple[float, tuple[float, float]]:
    drawn = bootstrap_resamples(len(differences), RESAMPLES, seed=seed)
    return float(differences.mean()), percentile_interval([differences[rows].mean() for rows in drawn])


def _all_areas(
    recognizer: Recognizer,
    dataset: Dataset,
    drawn: np.ndarray,
    rng: np.random.Generator,
    *,
    unreadable: Unreadable,
    progress: Callable[[int], None],
) -> Iterator[Areas]:
    for index in drawn:
        pixels = unreadable.read(dataset, dataset.samples[index])
        if pixels is not None:
            yield _areas(recognizer, pixels, rng)
        progress(1)


def _areas(recognizer: Recognizer, pixels: np.ndarray, rng: np.random.Generator) -> Areas:
    (whole,) = recognizer.classify([pixels])
    grid = whole.evidence.shape[1]
    orders = (rank_cells(whole), rng.permutation(grid * grid))
    versions = [
        image
        for order in orders
        for delete in (True, False)
        for image in _steps(pixels, order, grid, delete=delete)
    ]
    shown = [answer.probabilities[whole.expression] for answer in recognizer.classify(versions)]
    (deletion, insertion), (deletion_random, insertion_random) = (
        np.array(shown).reshape(2, 2, -1).mean(axis=2).tolist()
    )
    return deletion, deletion_random, insertion, insertion_random


def rank_cells(prediction: Prediction) -> np.ndarray:
    """Cells (row times G plus column) from the strongest evidence for the answer to the weakest: (G * G,)."""
    return np.argsort(-prediction.evidence_for(prediction.expression).ravel(), kind="stable")


def _steps(pixels: np.ndarray, order: np.ndarray, grid: int, *, delete: bool) -> Sequence[np.ndarray]:
    """The image with the first 0, 1/12, 2/12, ... of the cells in an order deleted, or with only those."""
    height, width = pixels.shape[:2]
    rows = np.arange(height) * grid // height
    columns = np.arange(width) * grid // width
    cell = rows[:, None] * grid + columns
    rank = np.empty(grid * grid, np.int64)
    rank[order] = np.arange(grid * grid)
    fill = np.rint(pixels.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    images = []
    for step in range(STEPS + 1):
        first = rank[cell] < step * grid * grid / STEPS
        images.append(np.where((first != delete)[:, :, None], pixels, fill))
    return images

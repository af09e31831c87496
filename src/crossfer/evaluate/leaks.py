"""Accuracy with and without images that also occur where the model learnt or was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossfer.data.duplicates import find_near_pairs, group_duplicates
from crossfer.data.fingerprint import take_fingerprints
from crossfer.data.sample import Dataset, Sample
from crossfer.evaluate.evaluation import measure_part
from crossfer.evaluate.predictions import Predictions
from crossfer.evaluate.result import LeakResult, PartResult
from crossfer.evaluate.unreadable import Unreadable


@dataclass(frozen=True)
class Leaks:
    """Which images of a data set occur in others too, by their paths.

    Attributes:
        looked_in: images of each other split that was looked through.
        identical: paths of images with the same pixels as one of those.
        nearly: paths of images that are nearly the same as one of those, or mirrored; the identical included.
        skipped: one line for each image or row that the other splits left out, and the data set itself did
            not.
        groups: for the path of each image a number, equal for images of the data set that are nearly the
            same, or mirrored; None if that is not known.
    """

    looked_in: dict[str, int]
    identical: frozenset[str]
    nearly: frozenset[str]
    skipped: tuple[str, ...] = ()
    groups: Mapping[str, int] | None = None


def find_leaks(
    dataset: Dataset,
    others: Sequence[Dataset],
    progress: Callable[[int], None] = lambda _: None,
    unreadable: Unreadable | None = None,
) -> Leaks:
    """Reads all images once and compares them.

    Args:
        dataset: the images asked about.
        others: the splits to look in.
        progress: called with the number of images read since the last call, then with 1 for each of the
            ``TABLES`` steps of the comparison.
        unreadable: what to do about images that cannot be read, by default to stop.

    Raises:
        DataError: if an image cannot be read and is not skipped: copies of it would go unseen.
    """
    unreadable = unreadable or Unreadable()
    prints = take_fingerprints([dataset, *others], progress=progress)
    for index, error in prints.unreadable.items():
        unreadable.add(_sample_at([dataset, *others], index), error)
    same = group_duplicates(prints)
    near = group_duplicates(prints, find_near_pairs(prints, progress=progress))
    identical, nearly = _occurring(dataset, same), _occurring(dataset, near)
    groups = dict(zip((sample.path for sample in dataset.samples), near.tolist(), strict=False))
    looked_in = {
        other.samples[0].split: int(unreadable.readable(other.samples).sum())
        for other in others
        if other.samples
    }
    left_out = dict.fromkeys(reason for other in others for reason in other.skipped)
    told = set(dataset.skipped)  # a bad row of a table that the splits share is met in each
    return Leaks(looked_in, identical, nearly, tuple(r for r in left_out if r not in told), groups)


def _sample_at(datasets: Sequence[Dataset], index: int) -> Sample:
    """The sample of an index that counts on from one data set to the next."""
    for each in datasets:
        if index < len(each):
            return each.samples[index]
        index -= len(each)
    raise IndexError(index)


def _occurring(dataset: Dataset, groups: np.ndarray) -> frozenset[str]:
    here = groups[: len(dataset)]
    shared = np.isin(here, groups[len(dataset) :])
    return frozenset(sample.path for sample, leaked in zip(dataset.samples, shared, strict=True) if leaked)


def score_leaks(predictions: Predictions, leaks: Leaks) -> LeakResult:
    """The figures of the images that occur elsewhere, and of the others."""
    nearly = np.array([path in leaks.nearly for path in predictions.paths])
    identical = sum(path in leaks.identical for path in predictions.paths)
    return LeakResult(
        leaks.looked_in, identical, _part(predictions.select(nearly)), _part(predictions.select(~nearly))
    )


def _part(predictions: Predictions) -> PartResult | None:
    return measure_part(predictions) if len(predictions) else None

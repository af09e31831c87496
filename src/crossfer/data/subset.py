"""Parts of a data set, whether its samples are objects or columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crossfer.data.columns import SampleColumns
from crossfer.data.sample import DataError, Dataset, Faults, Sample


def take(samples: Sequence[Sample], rows: Sequence[int], split: str | None = None) -> Sequence[Sample]:
    """Some of the samples, in the order given, in their split or in another."""
    if isinstance(samples, SampleColumns):
        return samples.take(rows, split)
    return tuple(replace(samples[row], split=split or samples[row].split) for row in rows)


def keep_readable(dataset: Dataset, faults: Faults) -> Dataset:
    """The data set without the images whose pixels cannot be read, which become faults; each is read once.

    Raises:
        DataError: if that leaves none.
    """
    kept = []
    for index, sample in enumerate(dataset.samples):
        try:
            dataset.read(sample)
        except DataError as error:
            faults.add(str(error))
        else:
            kept.append(index)
    if len(dataset) and not kept:
        raise DataError(
            f"{dataset.name}: expected images that can be read, found none in {len(dataset):,}; "
            f"the last one: {faults.found[-1].message}"
        )
    return replace(dataset, samples=take(dataset.samples, kept))

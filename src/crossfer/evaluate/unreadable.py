"""Images that could be read when their data set was opened, and no longer when a pass comes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.subset import take


@dataclass
class Unreadable:
    """What to do about such images: stop, or go on without them. All passes of an evaluation share it.

    Attributes:
        skip: go on.
        found: for the path of each such image what is wrong with it, in the order met.
    """

    skip: bool = False
    found: dict[str, str] = field(default_factory=dict)

    def add(self, sample: Sample, error: DataError) -> None:
        """Notes an image.

        Raises:
            DataError: the error, unless such images are skipped.
        """
        if not self.skip:
            raise error
        self.found.setdefault(sample.path, str(error))

    def read(self, dataset: Dataset, sample: Sample) -> np.ndarray | None:
        """Pixels of a sample, uint8 RGB (H, W, 3); None after it has been noted."""
        try:
            return dataset.read(sample)
        except DataError as error:
            self.add(sample, error)
            return None

    def readable(self, samples: Sequence[Sample]) -> np.ndarray:
        """Which samples have not been noted: (N,) bool."""
        return np.array([sample.path not in self.found for sample in samples], bool)

    def without(self, dataset: Dataset) -> Dataset:
        """The data set with only those.

        Raises:
            DataError: if there are none.
        """
        if not self.found:
            return dataset
        rows = np.flatnonzero(self.readable(dataset.samples)).tolist()
        if len(dataset) and not rows:
            raise DataError(
                f"{dataset.name}: expected images that can be read, found none in {len(dataset):,} any more; "
                f"the last one: {list(self.found.values())[-1]}"
            )
        return replace(dataset, samples=take(dataset.samples, rows))

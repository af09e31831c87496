"""Images that could be read when their data set was opened, and no longer when a pass comes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.subset import take


@dataclass
class Unreadable:
    """What to do about such images: stop, or go on without them. All passes of an evaluation share it.

    Attributes:
        skip: go on.
        root: where the data set lies; once that is gone or empty, it stops all the same.
        found: for the path of each such image what is wrong with it, in the order met.
    """

    skip: bool = False
    root: Path | None = None
    found: dict[str, str] = field(default_factory=dict)

    def add(self, sample: Sample, error: DataError) -> None:
        """Notes an image.

        Raises:
            DataError: the error, unless such images are skipped; or that none is left where they lay: the
                figures would be those of the images that had come before, by chance or class by class.
        """
        if not self.skip:
            raise error
        if self.root is not None and not _anything_at(self.root):
            raise DataError(
                f"{self.root}: expected the data set that was opened, found it gone or empty; "
                "bring it back, or mount it again"
            ) from error
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


def _anything_at(root: Path) -> bool:
    try:
        return any(root.iterdir()) if root.is_dir() else root.exists()
    except OSError:
        return False

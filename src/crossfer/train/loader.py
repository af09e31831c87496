"""Faces in memory: decoded once, through the runtime's own pre-processing, then drawn in shuffled batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfer.data.sample import DataError, Dataset
from crossfer.runtime.preprocess import InputContract, resize_crop


@dataclass(frozen=True)
class FaceTensors:
    """A data set as tensors.

    Attributes:
        images: (N, C, S, S) uint8.
        targets: (N, K) float32 distributions over the classes.
        labels: (N,) int64 class indices.
    """

    images: Tensor
    targets: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> FaceTensors:
        """The same on another device."""
        return FaceTensors(self.images.to(device), self.targets.to(device), self.labels.to(device))


def load_faces(
    dataset: Dataset,
    contract: InputContract,
    *,
    votes: bool,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> FaceTensors:
    """Decode every image of a data set of face crops.

    Args:
        dataset: images that are already framed as the model expects.
        contract: the model's input.
        votes: targets are the annotators' votes; else one-hot labels.
        limit: load this many images at most, drawn once and for all (not by a run's seed).
        progress: called with 1 for each image.

    Raises:
        DataError: if the set is empty or an image cannot be read, or votes are asked of a set without them.
    """
    if not dataset.samples:
        raise DataError(f"{dataset.name}: no images under protocol {dataset.protocol!r}")
    k = len(dataset.labels)
    rows = _drawn(len(dataset), limit)
    images = np.empty((len(rows), *contract.shape), np.uint8)
    targets = np.zeros((len(rows), k), np.float32)
    labels = np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        sample = dataset.samples[row]
        labels[i] = sample.label
        images[i] = resize_crop(dataset.read(sample), contract)
        if votes:
            if sample.votes is None:
                raise DataError(f"{sample.path}: no votes; use target = 'majority' for this data set")
            targets[i] = sample.votes
        else:
            targets[i, sample.label] = 1
        progress(1)
    return FaceTensors(torch.from_numpy(images), torch.from_numpy(targets), torch.from_numpy(labels))


def _drawn(n: int, limit: int | None) -> list[int]:
    """Up to ``limit`` of ``n`` rows, in their order."""
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(np.random.default_rng(0).permutation(n)[:limit].tolist())


def batches(faces: FaceTensors, size: int, *, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled whole batches of one epoch: images (B, C, S, S) uint8 and targets (B, K).

    The order depends on seed and epoch alone, so that a resumed run sees what an uninterrupted one does. A
    last batch that is not full is left out; other images fall into it in each epoch. A set smaller than a
    batch is one batch.
    """
    size = min(size, len(faces))
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(len(faces), generator=generator).to(faces.labels.device)
    for start in range(0, len(faces) - size + 1, size):
        rows = order[start : start + size]
        yield faces.images[rows], faces.targets[rows]

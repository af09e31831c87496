"""Faces in memory: decoded once, through the runtime's own pre-processing, then drawn in shuffled batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfer.data.sample import DataError, Dataset
from crossfer.runtime.preprocess import InputContract, resize_crop
from crossfer.train.faults import STREAM_THEM, enough_memory
from crossfer.train.ranks import ALONE, Rank

Batch = tuple[Tensor, Tensor]


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
        """These faces on another device."""
        return FaceTensors(self.images.to(device), self.targets.to(device), self.labels.to(device))

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Images (B, C, S, S) uint8 and targets (B, K) of each batch of rows."""
        for rows in plan:
            here = rows.to(self.labels.device)
            yield self.images[here], self.targets[here]


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
        TrainingError: if memory is too short for them.
    """
    chosen = drawn(dataset, limit)
    targets, labels = answers(dataset, chosen, votes=votes)
    with enough_memory(f"{len(chosen):,} faces of {contract.size} x {contract.size} pixels", STREAM_THEM):
        images = np.empty((len(chosen), *contract.shape), np.uint8)
        for i, row in enumerate(chosen):
            images[i] = resize_crop(dataset.read(dataset.samples[row]), contract)
            progress(1)
    return FaceTensors(torch.from_numpy(images), targets, labels)


def decoded_bytes(dataset: Dataset, contract: InputContract, limit: int | None = None) -> int:
    """How much memory a data set would take."""
    return how_many(dataset, limit) * int(np.prod(contract.shape))


def how_many(dataset: Dataset, limit: int | None) -> int:
    """Images of a data set that are used: ``limit`` at most, all if it is None."""
    return len(dataset) if limit is None else min(len(dataset), limit)


def drawn(dataset: Dataset, limit: int | None) -> list[int]:
    """Rows of the images that are used, in their order; drawn once and for all, not by a run's seed.

    Raises:
        DataError: if there are none.
    """
    n, used = len(dataset), how_many(dataset, limit)
    if not n:
        raise DataError(f"{dataset.name}: no images under protocol {dataset.protocol!r}")
    return list(range(n)) if used == n else sorted(np.random.default_rng(0).permutation(n)[:used].tolist())


def answers(dataset: Dataset, chosen: Sequence[int], *, votes: bool) -> tuple[Tensor, Tensor]:
    """Targets (N, K) float32 and labels (N,) int64 of the chosen rows."""
    targets = np.zeros((len(chosen), len(dataset.labels)), np.float32)
    labels = np.zeros(len(chosen), np.int64)
    for i, row in enumerate(chosen):
        sample = dataset.samples[row]
        labels[i] = sample.label
        if not votes:
            targets[i, sample.label] = 1
        elif sample.votes is None:
            raise DataError(f"{sample.path}: no votes; use target = 'label' for this data set")
        else:
            targets[i] = sample.votes
    return torch.from_numpy(targets), torch.from_numpy(labels)


def shuffled(n: int, size: int, seed: int, epoch: int, rank: Rank = ALONE) -> list[Tensor]:
    """Rows of the shuffled whole batches of one epoch, or of one rank's share of each.

    The order depends on seed and epoch alone, so that a resumed run sees what an uninterrupted one does. A
    last batch that is not full is left out; other images fall into it in each epoch. A set smaller than a
    batch is one batch.

    Args:
        n: images.
        size: of a batch, over all ranks; a multiple of their number.
        seed: the run's.
        epoch: from 0.
        rank: whose share.
    """
    size = min(size, n - n % rank.count)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed * 100_003 + epoch))
    return [rows.chunk(rank.count)[rank.number] for rows in order[: n // size * size].split(size)]


def in_order(n: int, size: int, rank: Rank = ALONE) -> list[Tensor]:
    """Rows of the batches of a set from first to last, or of those that fall to one rank, dealt in turn."""
    return list(torch.arange(n).split(size)[rank.number :: rank.count])


class Waited:
    """Batches, and how many seconds were spent on waiting for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.seconds += time.perf_counter() - began

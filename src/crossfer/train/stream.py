"""Faces from disk: decoded when they are needed, for sets too large for memory.

The batches are those of a set in memory, bit for bit: the order is the same, and so is the pre-processing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from crossfer.data.sample import DataError, Dataset
from crossfer.runtime.preprocess import InputContract, resize_crop
from crossfer.system.cores import usable_cores
from crossfer.train.loader import Batch, FaceTensors, answers, drawn
from crossfer.train.ranks import this_rank


@dataclass(frozen=True)
class FaceStream:
    """A data set whose images are decoded as they are needed, by other processes; for sets beyond memory.

    Attributes:
        source: decodes rows.
        targets: (N, K) float32 distributions over the classes.
        labels: (N,) int64 class indices.
        workers: processes that decode; 0 decodes in this one.
    """

    source: _Decoder
    targets: Tensor
    labels: Tensor
    workers: int

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> FaceStream:
        """These faces, their batches given on another device."""
        return replace(self, targets=self.targets.to(device), labels=self.labels.to(device))

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Images (B, C, S, S) uint8 and targets (B, K) of each batch of rows.

        Raises:
            DataError: if an image cannot be read.
        """
        device = self.labels.device
        loader = DataLoader(
            self.source,
            batch_sampler=[rows.tolist() for rows in plan],
            num_workers=min(self.workers, len(plan)),
            collate_fn=_as_it_is,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # without one it would draw from that of the augmentation
        )
        for rows, images in zip(plan, loader, strict=True):
            if isinstance(images, DataError):
                raise images
            yield images.to(device, non_blocking=True), self.targets[rows.to(device)]


Faces = FaceTensors | FaceStream


def fingerprint(faces: Faces) -> str:
    """Their number, and a checksum of their answers, which are at hand for faces that are streamed too."""
    digest = hashlib.sha256()
    for values in (faces.labels, faces.targets):
        digest.update(values.cpu().numpy().tobytes())
    return f"{len(faces):,} faces, targets {digest.hexdigest()[:12]}"


class _Decoder(torch.utils.data.Dataset[Tensor]):
    """Chosen images of a data set, a batch at a time."""

    def __init__(self, dataset: Dataset, contract: InputContract, chosen: Sequence[int]) -> None:
        self.dataset, self.contract = dataset, contract
        self.chosen = np.asarray(chosen)

    def __getitem__(self, row: int) -> Tensor:
        sample = self.dataset.samples[int(self.chosen[row])]
        return torch.from_numpy(resize_crop(self.dataset.read(sample), self.contract))

    def __getitems__(self, rows: Sequence[int]) -> Tensor | DataError:
        """A batch; what is wrong with an image comes back as a value, so that its message stays one line."""
        try:
            return torch.stack([self[row] for row in rows])
        except DataError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


def stream_faces(
    dataset: Dataset,
    contract: InputContract,
    *,
    votes: bool,
    limit: int | None = None,
    workers: int | None = None,
) -> FaceStream:
    """A data set's faces for a network, each image decoded when its batch is asked for.

    Args:
        dataset: what to read.
        contract: what the network's input is.
        votes: whether the targets are the annotators' votes, instead of the labels.
        limit: at most so many images, drawn at random with a fixed seed; None for all.
        workers: processes that decode; one a core if not given, shared among the ranks of this machine.

    Raises:
        DataError: if the set is empty, or votes are asked of a set without them.
    """
    chosen = drawn(dataset, limit)
    targets, labels = answers(dataset, chosen, votes=votes)
    if workers is None:
        workers = max(1, usable_cores() // this_rank().here)
    return FaceStream(_Decoder(dataset, contract, chosen), targets, labels, workers)

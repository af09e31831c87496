"""What stops a run, in words: where it stood, what happened, what is kept and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import UnionType

import torch
from torch.distributed import DistBackendError, DistNetworkError

from crossfer.data.sample import DataError
from crossfer.method import FeatureError
from crossfer.train.config import Recipe
from crossfer.train.ranks import Rank

KEPT = "the last whole epoch is kept"
# What torch writes where it raises a plain RuntimeError.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
DEVICE_LOST = ("CUDA error", "HIP error", "device-side assert")
RANK_LOST = ("gloo", "Connection closed by peer", "NCCL")
WORKER_LOST = ("DataLoader worker",)


class TrainingError(ValueError):
    """Training that cannot start or go on; the message says why and what to do."""


class RankError(TrainingError):
    """The same on one of several ranks, where the others may know nothing of it."""


@dataclass
class Place:
    """Where a run stands, from 1; changed as it goes."""

    epoch: int = 1
    step: int = 1

    def __str__(self) -> str:
        return f"epoch {self.epoch}, step {self.step}"


@contextmanager
def in_words(place: Place, recipe: Recipe, rank: Rank) -> Iterator[None]:
    """Raise what goes wrong inside as an error that says it in a sentence; what is not known stays as it is.

    Args:
        place: where the run stands when it goes wrong.
        recipe: what is trained.
        rank: this process.
    """
    try:
        yield
    except (RuntimeError, MemoryError, FeatureError, DataError) as error:
        told = _told(error, recipe, rank)
        if told is None:
            raise
        message = f"{place}: {told}"
        if rank.count > 1:
            raise RankError(f"rank {rank.number}, {message}") from error
        raise TrainingError(message) from error


def _told(error: Exception, recipe: Recipe, rank: Rank) -> str | None:
    text = str(error)
    first = text.strip().partition("\n")[0]

    def is_one(kinds: type | UnionType | tuple[type, ...], signs: Sequence[str] = ()) -> bool:
        return isinstance(error, kinds) or any(sign in text for sign in signs)

    sentences = (
        (is_one(FeatureError), f"{error}; {KEPT}: lower optim.lr and start again"),
        (is_one(DataError), f"{error}; {KEPT}"),
        (
            is_one(MemoryError | torch.OutOfMemoryError, NO_MEMORY),
            f"{_too_large(recipe, rank)}; {KEPT} ({first})",
        ),
        (
            is_one(torch.AcceleratorError, DEVICE_LOST),
            f"the GPU does not answer any more ({first}); {KEPT}: look at it with nvidia-smi, and go on with "
            "--resume, there or on another",
        ),
        (
            is_one(DistBackendError | DistNetworkError, RANK_LOST),
            f"another rank does not answer any more ({first}); {KEPT}: go on with --resume",
        ),
        (
            is_one((), WORKER_LOST),
            f"a process that decodes images is gone ({first}); {KEPT}: memory may be short, or /dev/shm too "
            "small; go on with --resume and fewer data.workers (0 for none)",
        ),
    )
    return next((sentence for applies, sentence in sentences if applies), None)


def _too_large(recipe: Recipe, rank: Rank) -> str:
    """What did not fit, and what would."""
    optim = recipe.optim
    part = max(1, optim.batch_size // (optim.accumulate * rank.count))
    smaller = next(n for n in range(2 * optim.accumulate, optim.batch_size + 1) if optim.batch_size % n == 0)
    side = recipe.model.image_size
    found = (
        f"out of memory with optim.batch_size = {optim.batch_size} (optim.accumulate = {optim.accumulate}: "
        f"{part} faces of {side} x {side} pixels at once)"
    )
    if smaller < optim.batch_size:
        return f"{found}; start again with --set optim.accumulate={smaller}, or optim.batch_size={part // 2}"
    return f"{found}; start again with --set optim.batch_size={max(2, optim.batch_size // 2)}"

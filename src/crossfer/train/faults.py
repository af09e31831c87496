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
from crossfer.train.ranks import Rank, this_rank

# What torch writes where it raises a plain RuntimeError.
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",  # of cuBLAS and cuDNN, whose own memory is what the GPU has left beside torch's
    "ALLOCATION_FAILED",
    "calling `cublasCreate",
)
OUT_OF_MEMORY = (MemoryError | torch.OutOfMemoryError, NO_MEMORY)
DEVICE_LOST = ("CUDA error", "HIP error", "device-side assert")
RANK_LOST = ("gloo", "Connection closed by peer", "NCCL")
WORKER_LOST = ("DataLoader worker",)
STREAM_THEM = "stream them from disk with --set data.memory_gb=0"
# A gradient that overflows in float16, whatever it is scaled by, may be finite in a type of more range.
MORE_RANGE = "start again with --set optim.precision=32-true or bf16-mixed"
SMALLER_NETWORK = "a smaller network or smaller images (model.width, model.image_size)"
Kinds = type | UnionType | tuple[type, ...]


class TrainingError(ValueError):
    """Training that cannot start or go on; the message says why and what to do."""


class RankError(TrainingError):
    """Training that cannot go on for what befell one of several ranks; the others may know nothing of it."""


@dataclass
class Place:
    """Where a run stands; changed as it goes.

    Attributes:
        epoch: from 1.
        step: of it, from 1; 0 in validation.
        saved: whether a whole epoch is on disk.
    """

    epoch: int = 1
    step: int = 1
    saved: bool = False

    def __str__(self) -> str:
        return f"epoch {self.epoch}, {f'step {self.step}' if self.step else 'validation'}"

    @property
    def at_the_start(self) -> bool:
        """Whether this is a run's first step, before which no weight has changed."""
        return (self.epoch, self.step) == (1, 1)

    @property
    def kept(self) -> str:
        """What is left of the run."""
        return "the last whole epoch is kept" if self.saved else "no epoch was whole yet, so nothing is kept"


@contextmanager
def explained(place: Place, recipe: Recipe, rank: Rank) -> Iterator[None]:
    """Raise what goes wrong inside as an error that says it in a sentence; what is not known stays as it is.

    Args:
        place: where the run stands when it goes wrong.
        recipe: what is trained.
        rank: this process.
    """
    try:
        yield
    except (RuntimeError, MemoryError, FeatureError, DataError) as error:
        told = _told(error, place, recipe, rank)
        if told is None:
            raise
        raise _of_rank(rank, f"{place}: {told}") from error


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise a lack of memory inside, before there are steps, as an error that says it in a sentence.

    Args:
        what: is held in memory.
        remedy: what to do.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_one(error, *OUT_OF_MEMORY):
            raise
        raise _of_rank(this_rank(), f"out of memory for {what}{_in_brackets(error)}; {remedy}") from error


@contextmanager
def room_for_the_network() -> Iterator[None]:
    """Raise a lack of memory inside as one that a smaller network, or smaller images, would help."""
    with enough_memory("the network", f"take {SMALLER_NETWORK}"):
        yield


def _of_rank(rank: Rank, message: str) -> TrainingError:
    return RankError(f"rank {rank.number}, {message}") if rank.count > 1 else TrainingError(message)


def _is_one(error: Exception, kinds: Kinds, signs: Sequence[str]) -> bool:
    return isinstance(error, kinds) or any(sign in str(error) for sign in signs)


def _in_brackets(error: Exception) -> str:
    """The first line of what was raised, if there is one."""
    first = str(error).strip().partition("\n")[0]
    return f" ({first})" if first else ""


def not_finite(what: str, place: Place, recipe: Recipe, terms: Sequence[str] = ()) -> str:
    """That something, such as the loss or the gradient, is not finite, and what to change.

    Args:
        what: is not finite.
        place: where the run stands.
        recipe: what is trained.
        terms: of the loss that are not finite, as :class:`crossfer.method.LossTerms` names them; none given
            means that any may be at fault.
    """
    still = "is not finite" if place.at_the_start else "is no longer finite"
    listed = f" ({', '.join(terms)})" if terms else ""
    parts = {term for term in terms if term != "total"} or {"classification", "feature_map", "batch"}
    return f"{what} {still}{listed}; {place.kept}: {_remedy(place, recipe, parts)}"


def _remedy(place: Place, recipe: Recipe, parts: set[str]) -> str:
    """What to change: the rate, but for the first step, on which no rate has borne yet."""
    if not place.at_the_start:
        return "lower optim.lr and start again"
    cross_layer, classification = bool({"feature_map", "batch"} & parts), "classification" in parts
    suspects = {
        "method.temperature, method.lambdas": cross_layer and any(recipe.method.lambdas),
        "distill.temperature, distill.teachers": classification and bool(recipe.distill.teachers),
        "views.temperature": classification and recipe.objective == "views",
        "model.init": recipe.model.init is not None,
    }
    keys = ", ".join(key for key, suspected in suspects.items() if suspected)
    return f"look at {keys or 'the faces and their labels'} and start again"


def _told(error: Exception, place: Place, recipe: Recipe, rank: Rank) -> str | None:
    raised, kept = _in_brackets(error), place.kept
    sentences = (
        (FeatureError, (), f"{error}; {kept}: {_remedy(place, recipe, set())}"),
        (
            DataError,
            (),
            f"{error}; {kept}: restore the image and go on with --resume, or begin anew with --skip-bad",
        ),
        (*OUT_OF_MEMORY, f"{_too_large(recipe, rank)}; {kept}{raised}"),
        (
            torch.AcceleratorError,
            DEVICE_LOST,
            f"the GPU does not answer any more{raised}; {kept}: look at it with nvidia-smi, and go on with "
            "--resume, there or on another",
        ),
        (
            DistBackendError | DistNetworkError,
            RANK_LOST,
            f"another rank does not answer any more{raised}; {kept}: go on with --resume",
        ),
        (
            (),
            WORKER_LOST,
            f"a process that decodes images is gone{raised}; {kept}: memory may be short, or /dev/shm too "
            "small; go on with --resume and fewer data.workers (0 for none)",
        ),
    )
    return next((sentence for kinds, signs, sentence in sentences if _is_one(error, kinds, signs)), None)


def _too_large(recipe: Recipe, rank: Rank) -> str:
    """What did not fit, and what would: half as many faces at once or fewer, but two at least."""
    optim, side, count = recipe.optim, recipe.model.image_size, rank.count
    size, parts = optim.batch_size, optim.accumulate
    part = max(1, size // (parts * count))
    found = (
        f"out of memory with optim.batch_size = {size} (optim.accumulate = {parts}: "
        f"{part} faces of {side} x {side} pixels at once)"
    )
    changes = [
        f"optim.accumulate={more}"
        for more in range(2 * parts, size // (2 * count) + 1)
        if size % (more * count) == 0
    ][:1]
    smaller = max(2, part // 2) * parts * count
    if smaller < size:
        changes.append(f"optim.batch_size={smaller}")
    if not changes:
        return f"{found}; start again with {SMALLER_NETWORK}"
    return f"{found}; start again with --set {', or '.join(changes)}"

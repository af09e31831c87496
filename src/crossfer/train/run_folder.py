"""The folder of a run: its files by name, and who may begin or go on in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossfer.system.lock import lock_folder
from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.device import Precision
from crossfer.train.faults import TrainingError
from crossfer.train.ranks import this_rank
from crossfer.train.recipe_file import first_difference

LAST = "last.safetensors"  # all that a run goes on from
BEST = "best.safetensors"  # the averaged weights of the best epoch
LOG = "log.csv"  # a line an epoch
LOCK = ".lock"
FORMAT = 2  # of a run's checkpoints; 1 kept the momentum under other names


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training into a folder; of several ranks the first one does.

    Raises:
        FolderInUseError: if another one does now.
    """
    if this_rank().number:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, LOCK):
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # a run that left something
                if made:
                    folder.rmdir()


def recorded_precision(folder: Path) -> Precision | None:
    """The precision of the run in a folder, if there is one that says."""
    last = folder / LAST
    return checkpoint.load_meta(last).get("precision") if last.exists() else None


def require_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Refuse a folder that a run can neither begin nor go on in, so that none is overwritten.

    Raises:
        TrainingError: says what is there and what to do; of a run of another recipe, the first key that
            differs with both values.
        CheckpointError: if what is there is no run that could go on.
    """
    last, best = folder / LAST, folder / BEST
    if last.exists():
        if not resume:
            raise TrainingError(
                f"{folder}: holds a run already; add --resume to go on with it or name another folder"
            )
        _refuse_other_recipe(checkpoint.load_meta(last), last, recipe)
    elif best.exists() and not (resume and _is_of_first_epoch(checkpoint.load_meta(best), recipe)):
        raise TrainingError(
            f"{folder}: holds the best.safetensors of a run, which would be lost, and no last.safetensors to "
            "go on from; name another folder"
        )


def _is_of_first_epoch(meta: dict[str, Any], recipe: Recipe) -> bool:
    """Whether weights may be those of a run that was stopped in between its first two files."""
    document = meta.get("recipe")
    return (
        meta.get("epoch") == 1 and isinstance(document, dict) and first_difference(document, recipe) is None
    )


def _refuse_other_recipe(meta: dict[str, Any], last: Path, recipe: Recipe) -> None:
    kinds = {"recipe": dict, "history": list, "label_set": str}
    if lacking := [
        key for key, kind in kinds.items() if not isinstance(meta.get(key), kind) or not meta[key]
    ]:
        raise checkpoint.CheckpointError(f"{last}: no run to resume: its metadata lacks {', '.join(lacking)}")
    if meta.get("format") != FORMAT:
        raise checkpoint.CheckpointError(
            f"{last}: expected a run of format {FORMAT}, found {meta.get('format')!r}, of another "
            "version of crossfer; go on with that version, or start again in another folder"
        )
    if (difference := first_difference(meta["recipe"], recipe)) is not None:
        key, theirs, ours = difference
        raise TrainingError(
            f"{last.parent}: was trained with {key} = {theirs!r}, the recipe now says {ours!r}; "
            "resume with the same recipe or name another folder"
        )

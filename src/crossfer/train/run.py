"""Recipes from file to finished runs, with progress shown on stderr."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console

from crossfer.console import counting, say
from crossfer.data.sample import Dataset
from crossfer.labels import LabelSet
from crossfer.system.writable import need_folder
from crossfer.train.config import DataConfig, Recipe, refuse_in_vain
from crossfer.train.device import choose_device
from crossfer.train.display import Display
from crossfer.train.faults import TrainingError
from crossfer.train.loader import decoded_bytes, how_many, load_faces
from crossfer.train.loop import train
from crossfer.train.network import input_contract, network
from crossfer.train.observer import Observer
from crossfer.train.ranks import this_rank
from crossfer.train.record import RunResult
from crossfer.train.run_folder import LAST, require_folder
from crossfer.train.source import cut_valid, data_of_run, open_split, placed
from crossfer.train.start import start_from
from crossfer.train.step import compared_at_once
from crossfer.train.stream import Faces, stream_faces
from crossfer.train.teachers import load_teachers


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    root: Path | None = None,
    resume: bool = False,
    console: Console,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Load the recipe's faces, train, and say where things stand.

    Args:
        recipe: what to train.
        folder: the run's folder.
        root: where the data lies, instead of the recipe's ``data.root``.
        resume: go on with the run in the folder.
        console: where progress goes; lines instead of bars where it is no terminal.
        observers: look on too.

    Raises:
        RecipeError: if a new run's recipe asks for what other keys of it leave out.
        TrainingError: if the variant ``"released"`` gets fewer faces at once than it makes clusters; or as
            :func:`crossfer.train.loop.train` raises it.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of ranks and precision
    require_folder(folder, recipe, resume=resume)
    if this_rank().number == 0:
        need_folder("--output", folder)
    choose_device(recipe.optim.device)  # before the images are read
    # Only what is loaded by: the run itself keeps the recipe as it was written.
    data = placed(recipe.data, root)
    if not (folder / LAST).exists():
        _begin(recipe, data, folder, console)
    data = data_of_run(data, folder)
    train_set, valid_set = open_split(data, "train"), open_split(data, "valid")
    labels, images = train_set.labels, how_many(train_set, data.limit)
    _require_faces_for_clusters(recipe, len(labels), images)
    train_faces = load_split(recipe, "train", train_set, console)
    valid_faces = load_split(recipe, "valid", valid_set, console)
    short = _told_of_clusters(recipe, len(labels), images, console)
    with short, Display(console, recipe.optim.epochs) as display:
        looking = [display, *observers]
        return train(recipe, labels, train_faces, valid_faces, folder, resume=resume, observers=looking)


def _begin(recipe: Recipe, data: DataConfig, folder: Path, console: Console) -> None:
    """What a new run needs before its images are read: choices and weights that fit, a validation split."""
    refuse_in_vain(recipe)
    dataset = whole_train(data)
    for line in weights_of_others(recipe, dataset.labels):
        say(console, line)
    cut_held_out(data, dataset, folder, console)


def weights_of_others(recipe: Recipe, labels: LabelSet) -> Iterator[str]:
    """What is said of teachers and of the weights to start from, all of which fit."""
    if recipe.distill.teachers:
        yield "taught by " + ", ".join(teacher.name for teacher in load_teachers(recipe.distill, labels))
    if recipe.model.init is not None:
        net = network(recipe.model, recipe.outputs(len(labels)))
        yield f"starts from {start_from(recipe, net, labels)}"


def _clusters(recipe: Recipe, classes: int) -> int:
    """How many clusters CLBS is asked to make; 0 where it is no part of the loss."""
    return (recipe.method.k_batch or classes) if recipe.method.has_clbs else 0


def _require_faces_for_clusters(recipe: Recipe, classes: int, images: int) -> None:
    """Refuse a run of the released variant, which does not go on with fewer clusters, as the other does."""
    asked, found = _clusters(recipe, classes), compared_at_once(recipe, images)
    if recipe.variant == "released" and asked > found:
        raise TrainingError(
            f"CLBS of variant 'released': expected at least {asked} faces at once, one a cluster "
            f"(method.k_batch; the number of classes if not given), found {found}, {_by(recipe, images)}; "
            "use larger batches or a smaller method.k_batch"
        )


def _by(recipe: Recipe, images: int) -> str:
    """What it follows from how many faces are compared at once."""
    optim = recipe.optim
    return (
        f"by optim.batch_size {optim.batch_size}, optim.accumulate {optim.accumulate} and "
        f"{images:,} training faces"
    )


@contextmanager
def _told_of_clusters(recipe: Recipe, classes: int, images: int, console: Console) -> Iterator[None]:
    """Say once, with its keys, that CLBS makes fewer clusters than asked for; its own warning is off."""
    asked, found = _clusters(recipe, classes), compared_at_once(recipe, images)
    if recipe.variant == "corrected" and asked > found > 1:
        say(
            console,
            f"CLBS makes {found} clusters and not {asked} (method.k_batch; the number of classes if not "
            f"given): it compares {found} at once, {_by(recipe, images)}",
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="CLBS: ")
        yield


def whole_train(config: DataConfig) -> Dataset:
    """All training faces, of which a validation split is cut, whatever of them is learnt from."""
    return open_split(config.model_copy(update={"class_limit": None}), "train")


def cut_held_out(config: DataConfig, train: Dataset, folder: Path, console: Console) -> Path | None:
    """Cut a validation split, see :func:`crossfer.train.source.cut_valid`, and say where it lies."""
    with counting(console, "looking for duplicates", len(train)) as advance:
        path = cut_valid(config, train, folder, progress=advance)
    if path is not None:
        share = f"{100 * config.valid_share:g} %"
        say(console, f"{share} of each class cut out of train for validation: {path}")
    return path


def load_split(recipe: Recipe, split: Literal["train", "valid"], dataset: Dataset, console: Console) -> Faces:
    """The faces of a split, in memory or streamed; tells what they are and what was left out."""
    for line in dataset.skipped:
        say(console, f"left out: {line}")
    votes = recipe.data.target == "votes" and split == "train"
    limit = recipe.data.limit if split == "train" else None
    contract = input_contract(recipe.model)
    where = ""
    if decoded_bytes(dataset, contract, limit) > recipe.data.memory_gb * 2**30:
        faces = stream_faces(dataset, contract, votes=votes, limit=limit, workers=recipe.data.workers)
        where = f", streamed by {faces.workers} processes"
    else:
        with counting(console, f"reading {split}", how_many(dataset, limit)) as advance:
            faces = load_faces(dataset, contract, votes=votes, limit=limit, progress=advance)
    say(console, f"{split}: {len(faces):,} faces ({dataset.name}, {dataset.protocol}){where}")
    return faces

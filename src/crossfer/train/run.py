"""Recipes from file to finished runs, with progress shown on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from crossfer.console import counting, say
from crossfer.data.sample import Dataset
from crossfer.labels import LabelSet
from crossfer.system.writable import need_folder
from crossfer.train.config import DataConfig, Recipe
from crossfer.train.device import choose_device
from crossfer.train.display import Display
from crossfer.train.faults import TrainingError
from crossfer.train.intensity import GradientProbe
from crossfer.train.loader import decoded_bytes, load_faces
from crossfer.train.loop import train
from crossfer.train.network import input_contract, network
from crossfer.train.observer import Observer
from crossfer.train.ranks import this_rank
from crossfer.train.record import RunResult
from crossfer.train.run_folder import BEST, LAST, require_folder
from crossfer.train.source import cut_valid, data_of_run, open_split, placed
from crossfer.train.start import start_from
from crossfer.train.stream import Faces, stream_faces
from crossfer.train.study import (
    StudyError,
    Trial,
    TrialResult,
    read_result,
    read_results,
    require_faces,
    require_own,
    require_weights,
    run_trial,
)
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
    learnt, held_out = open_split(data, "train"), open_split(data, "valid")
    faces = _load(recipe, "train", learnt, console), _load(recipe, "valid", held_out, console)
    with Display(console, recipe.optim.epochs) as display:
        return train(
            recipe,
            learnt.labels,
            *faces,
            folder,
            resume=resume,
            observers=[display, *observers],
        )


def _begin(recipe: Recipe, data: DataConfig, folder: Path, console: Console) -> None:
    """What a new run needs before its images are read: weights that fit, and a validation split."""
    dataset = _whole_train(data)
    for line in _weights_of_others(recipe, dataset.labels):
        say(console, line)
    _cut_valid(data, dataset, folder, console)


def _weights_of_others(recipe: Recipe, labels: LabelSet) -> Iterator[str]:
    """What is said of teachers and of the weights to start from, all of which fit."""
    if recipe.distill.teachers:
        yield "taught by " + ", ".join(teacher.name for teacher in load_teachers(recipe.distill, labels))
    if recipe.model.init is not None:
        net = network(recipe.model, recipe.outputs(len(labels)))
        yield f"starts from {start_from(recipe, net, labels)}"


def _whole_train(config: DataConfig) -> Dataset:
    return open_split(config.model_copy(update={"class_limit": None}), "train")


def _cut_valid(config: DataConfig, train: Dataset, folder: Path, console: Console) -> Path | None:
    with counting(console, "looking for duplicates", len(train)) as advance:
        path = cut_valid(config, train, folder, progress=advance)
    if path is not None:
        share = f"{100 * config.valid_share:g} %"
        say(console, f"{share} of each class cut out of train for validation: {path}")
    return path


def _load(recipe: Recipe, split: Literal["train", "valid"], dataset: Dataset, console: Console) -> Faces:
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
        with counting(console, f"reading {split}", min(len(dataset), limit or len(dataset))) as advance:
            faces = load_faces(dataset, contract, votes=votes, limit=limit, progress=advance)
    say(console, f"{split}: {len(faces):,} faces ({dataset.name}, {dataset.protocol}){where}")
    return faces


def run_study(
    trials: Sequence[Trial],
    *,
    root: Path | None,
    results: Path,
    runs: Path,
    console: Console,
    probe: bool = False,
) -> list[TrialResult]:
    """Run what of a study has no result yet, one trial after the other.

    Args:
        trials: what to run.
        root: where the data lies, instead of the recipes' ``data.root``.
        results: folder of the result files, one a trial.
        runs: where unfinished runs lie, and the validation split that was cut where a recipe asks for one.
        console: where progress goes.
        probe: note the learning intensity of every stage.

    Returns:
        The results of all trials, in their order.
    """
    if this_rank().count > 1:
        raise TrainingError("a study runs in one process; only 'crossfer train' is shared by ranks")
    if any((runs / name).exists() for name in (LAST, BEST)):
        raise StudyError(
            f"{runs}: holds a run, whose validation split a study may replace; name another --runs folder"
        )
    for trial in trials:
        _check(trial, root, results, runs, console)
    kept = read_results(results, [(trial.row, trial.recipe) for trial in trials])
    shelf = _Shelf(root, runs, console)

    def load(recipe: Recipe) -> tuple[LabelSet, Faces, Faces]:
        labels, learnt, held_out = shelf.faces(recipe)
        require_faces(kept, results, learnt, held_out)
        return labels, learnt, held_out

    done = []
    for number, trial in enumerate(trials, start=1):
        say(console, f"{number}/{len(trials)}  {trial.name}")
        with Display(console, trial.recipe.optim.epochs) as display:
            done.append(
                run_trial(
                    trial,
                    load,
                    results=results,
                    runs=runs,
                    observers=[display, GradientProbe()] if probe else [display],
                )
            )
        say(console, f"    validation accuracy {100 * done[-1].valid_accuracy:.2f} %")
    return done


def _check(trial: Trial, root: Path | None, results: Path, runs: Path, console: Console) -> None:
    """What would stop a trial, told before the first one is run."""
    if trial.recipe.objective == "views":
        raise TrainingError(
            f"{trial.row}: learns without labels (objective = 'views'), so has no accuracy to compare; "
            "compare runs that start from it, with model.init"
        )
    if (kept := results / f"{trial.name}.json").exists():
        require_weights(read_result(kept).weights, trial.recipe, kept)
        return
    require_own(runs / trial.name)
    need_folder("--results", results)
    need_folder("--runs", runs)
    choose_device(trial.recipe.optim.device)
    if trial.recipe.distill.teachers or trial.recipe.model.init is not None:
        labels = _whole_train(placed(trial.recipe.data, root)).labels
        for line in _weights_of_others(trial.recipe, labels):
            say(console, f"{trial.name}: {line}")


class _Shelf:
    """The faces of the recipe loaded last; the trials of a study mostly share theirs."""

    def __init__(self, root: Path | None, runs: Path, console: Console) -> None:
        self.root, self.runs, self.console = root, runs, console
        self._key: str | None = None

    def faces(self, recipe: Recipe) -> tuple[LabelSet, Faces, Faces]:
        """Label set, training and validation faces."""
        key = f"{recipe.data!r} {input_contract(recipe.model)!r}"
        if key != self._key:
            data = self._with_valid(placed(recipe.data, self.root))
            learnt, held_out = open_split(data, "train"), open_split(data, "valid")
            self._faces = (
                learnt.labels,
                _load(recipe, "train", learnt, self.console),
                _load(recipe, "valid", held_out, self.console),
            )
            self._key = key
        return self._faces

    def _with_valid(self, config: DataConfig) -> DataConfig:
        """Cut anew at each start of a study: always the same, and never that of another data set."""
        if not config.valid_share:
            return config
        path = _cut_valid(config, _whole_train(config), self.runs, self.console)
        return config if path is None else config.model_copy(update={"split_file": path})

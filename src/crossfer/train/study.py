"""Studies: rows of recipes, several seeds each, one result file a run, so that rows can accumulate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from crossfer.console import say
from crossfer.labels import LabelSet
from crossfer.runtime.preprocess import InputContract
from crossfer.system.atomic import write_atomically
from crossfer.system.writable import need_folder
from crossfer.train.config import OF_THE_MACHINE, DataConfig, Recipe, refuse_in_vain
from crossfer.train.device import choose_device, device_name
from crossfer.train.display import Display
from crossfer.train.faults import TrainingError
from crossfer.train.gradient_probe import GradientProbe
from crossfer.train.loop import train
from crossfer.train.network import input_contract
from crossfer.train.observer import Observer
from crossfer.train.ranks import this_rank
from crossfer.train.record import RunResult
from crossfer.train.run import cut_held_out, load_split, weights_of_others, whole_train
from crossfer.train.run_folder import BEST, LAST
from crossfer.train.source import open_split, placed
from crossfer.train.stream import Faces, fingerprint
from crossfer.train.trained import weights_sha256
from crossfer.train.trial_result import (
    StudyError,
    Trial,
    TrialResult,
    read_result,
    read_results,
    require_faces,
    require_trial,
    require_weights,
)

MARK = ".study"  # in the folder of an unfinished run that a study made, and may delete; notes its weights


def trials(rows: Iterable[tuple[str, Recipe]], seeds: Sequence[int]) -> list[Trial]:
    """Every row with every seed, seed by seed, so that a study that is stopped has whole rows to compare."""
    rows = list(rows)
    return [Trial(row, recipe.model_copy(update={"seed": seed})) for seed in seeds for row, recipe in rows]


def run_study(
    trials: Sequence[Trial],
    *,
    root: Path | None,
    results: Path,
    runs: Path,
    console: Console,
    probe: bool = False,
) -> None:
    """Run what of a study has no result yet, one trial after the other.

    Args:
        trials: what to run.
        root: where the data lies, instead of the recipes' ``data.root``.
        results: folder of the result files, one a trial.
        runs: where unfinished runs lie, and the validation split that was cut where a recipe asks for one.
        console: where progress goes.
        probe: note the learning intensity of every stage.

    Raises:
        StudyError: if a run that is no study's is in the way, or what is there came from something else.
        RecipeError: if a recipe asks for what other keys of it leave out.
        TrainingError: if a recipe learns without labels, or training cannot go on.
        CheckpointError: if weights that a recipe names cannot be used.
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
        labels, train_faces, valid_faces = shelf.faces(recipe)
        require_faces(kept, results, recipe, train_faces, valid_faces)
        return labels, train_faces, valid_faces

    for number, trial in enumerate(trials, start=1):
        say(console, f"{number}/{len(trials)}  {trial.name}")
        with Display(console, trial.recipe.optim.epochs) as display:
            observers = [display, GradientProbe()] if probe else [display]
            done = run_trial(trial, load, results=results, runs=runs, observers=observers)
        say(console, f"    validation accuracy {100 * done.valid_accuracy:.2f} %")


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
    _require_own(runs / trial.name)
    if not (runs / trial.name / LAST).exists():
        refuse_in_vain(trial.recipe)
    need_folder("--results", results)
    need_folder("--runs", runs)
    choose_device(trial.recipe.optim.device)
    if trial.recipe.distill.teachers or trial.recipe.model.init is not None:
        labels = whole_train(placed(trial.recipe.data, root)).labels
        for line in weights_of_others(trial.recipe, labels):
            say(console, f"{trial.name}: {line}")


class _Shelf:
    """The faces of the recipe loaded last; the trials of a study mostly share theirs."""

    def __init__(self, root: Path | None, runs: Path, console: Console) -> None:
        self.root, self.runs, self.console = root, runs, console
        self._key: tuple[DataConfig, InputContract] | None = None

    def faces(self, recipe: Recipe) -> tuple[LabelSet, Faces, Faces]:
        """Label set, training and validation faces."""
        key = recipe.data, input_contract(recipe.model)
        if key != self._key:
            data = self._with_valid(placed(recipe.data, self.root))
            train_set, valid_set = open_split(data, "train"), open_split(data, "valid")
            self._faces = (
                train_set.labels,
                load_split(recipe, "train", train_set, self.console),
                load_split(recipe, "valid", valid_set, self.console),
            )
            self._key = key
        return self._faces

    def _with_valid(self, config: DataConfig) -> DataConfig:
        """Cut anew at each start of a study: always the same, and never that of another data set."""
        if not config.valid_share:
            return config
        path = cut_held_out(config, whole_train(config), self.runs, self.console)
        return config if path is None else config.model_copy(update={"split_file": path})


def run_trial(
    trial: Trial,
    faces: Callable[[Recipe], tuple[LabelSet, Faces, Faces]],
    *,
    results: Path,
    runs: Path,
    observers: Sequence[Observer] = (),
) -> TrialResult:
    """Train a trial and write its result, or read the result that is there.

    Args:
        trial: what to run.
        faces: gives label set, training and validation faces of a recipe.
        results: folder of the result files; ``NAME.json`` appears once the run is whole.
        runs: where the run itself lies until then, in a folder that is marked as a study's; one that was
            stopped goes on from its last whole epoch.
        observers: look on; the result keeps what they noted.

    Raises:
        StudyError: if the result that is there came from another recipe or other weights, or the run there is
            no study's.
    """
    path, folder = results / f"{trial.name}.json", runs / trial.name
    if path.exists():
        found = read_result(path)
        require_trial(found, trial, path)
        require_weights(found.weights, trial.recipe, path)
        return found
    _require_own(folder)
    labels, train_faces, valid_faces = faces(trial.recipe)
    folder.mkdir(parents=True, exist_ok=True)
    weights = _weights_of(folder, trial.recipe)
    done = train(trial.recipe, labels, train_faces, valid_faces, folder, resume=True, observers=observers)
    result = _result(trial, done, train_faces, valid_faces, weights=weights, observers=observers)
    results.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(asdict(result), indent=1) + "\n").encode())
    shutil.rmtree(folder)
    return result


def _result(
    trial: Trial,
    done: RunResult,
    train_faces: Faces,
    valid_faces: Faces,
    *,
    weights: dict[str, str],
    observers: Sequence[Observer],
) -> TrialResult:
    last = done.history[-1]
    return TrialResult(
        row=trial.row,
        seed=trial.recipe.seed,
        valid_accuracy=last.valid_accuracy,
        best_accuracy=done.best_accuracy,
        valid_loss=last.valid_loss,
        train_n=len(train_faces),
        valid_n=len(valid_faces),
        epochs=len(done.history),
        seconds=round(sum(record.seconds for record in done.history), 1),
        precision=done.precision,
        commit=done.commit,
        recipe=trial.recipe.model_dump(mode="json", exclude={"data": {*OF_THE_MACHINE}}),
        observed={key: value for observer in observers for key, value in observer.noted().items()},
        valid_mean_class_accuracy=last.valid_mean_class_accuracy,
        processor=device_name(choose_device(trial.recipe.optim.device)),
        weights=weights,
        faces={"train": fingerprint(train_faces), "valid": fingerprint(valid_faces)},
    )


def _require_own(folder: Path) -> None:
    """Refuse a folder that no study made, since a study deletes its runs once their results are kept.

    Raises:
        StudyError: if it is there without a study's mark.
    """
    if folder.exists() and not (folder / MARK).exists():
        raise StudyError(
            f"{folder}: expected nothing, or an unfinished run of a study, found a folder that no study "
            "made, which would be deleted in the end; name another --runs folder"
        )


def _weights_of(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The weights that a run began with, noted in its mark; those of now where it only begins."""
    mark = folder / MARK
    if text := mark.read_text("utf-8") if mark.exists() else "":
        noted = json.loads(text)
        require_weights(noted, recipe, folder)
        return noted
    noted = weights_sha256(recipe)
    write_atomically(mark, json.dumps(noted).encode())
    return noted

"""Results of a study's runs, one file each, and what may stand side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import Recipe
from crossfer.train.recipe_file import filled, first_difference
from crossfer.train.stream import Faces, fingerprint
from crossfer.train.trained import weights_sha256


class StudyError(ValueError):
    """A study that cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Attributes:
        row: what it belongs to, as it is called in the table.
        recipe: what is trained, with the trial's seed.
    """

    row: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """Name of its result file and of its run's folder."""
        return f"{self.row}-s{self.recipe.seed}"


@dataclass(frozen=True)
class TrialResult:
    """What a run of a study gave; accuracies (0..1) are those of the averaged weights on validation faces.

    Attributes:
        row: what it belongs to.
        seed: its seed.
        valid_accuracy: after the last epoch, so that no epoch is picked by its luck.
        best_accuracy: of the best epoch.
        valid_loss: negative log-likelihood after the last epoch.
        train_n: faces learnt from.
        valid_n: faces of the validation split.
        epochs: epochs trained.
        seconds: time of training and validation.
        precision: arithmetic of the run, such as ``"bf16-mixed"``.
        commit: of the code.
        recipe: the whole recipe, but for what concerns the machine alone.
        observed: what an observer noted, by its own keys.
        valid_mean_class_accuracy: after the last epoch; None in the files of older versions.
        processor: what it was trained on, as ``crossfer.system.processor`` says, or the name of the GPU; None
            in the files of older versions.
        weights: SHA-256 of the file of each teacher and of the weights to start from, by the name that the
            recipe gives it; None in the files of older versions.
        faces: number and checksum of the faces of each split, as ``crossfer.train.stream.fingerprint`` gives
            them; None in the files of older versions.
    """

    row: str
    seed: int
    valid_accuracy: float
    best_accuracy: float
    valid_loss: float
    train_n: int
    valid_n: int
    epochs: int
    seconds: float
    precision: str
    commit: str
    recipe: dict[str, Any]
    observed: dict[str, Any] = field(default_factory=dict)
    valid_mean_class_accuracy: float | None = None
    processor: str | None = None
    weights: dict[str, str] | None = None
    faces: dict[str, str] | None = None

    @property
    def known_faces(self) -> dict[str, str]:
        """What is known of the faces of each split: in the files of older versions their number alone."""
        return self.faces or {"train": f"{self.train_n:,} faces", "valid": f"{self.valid_n:,} faces"}

    @property
    def target(self) -> str:
        """What a training face teaches, by its recipe."""
        return filled(self.recipe)["data"]["target"]


def read_result(path: Path) -> TrialResult:
    """A result file.

    Raises:
        StudyError: if it is not one.
    """
    try:
        return TrialResult(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{path}: expected the result file of a run, found another file ({error})") from None


def read_results(
    folder: Path, rows: Iterable[tuple[str, Recipe]], *, observed: str | None = None
) -> list[TrialResult]:
    """The results of a study's rows that are there, of all seeds, by the names of their files.

    Args:
        folder: of the result files; those of other rows may lie there too.
        rows: what each row trains.
        observed: what an observer has to have noted.

    Raises:
        StudyError: if a result of a row came from another recipe, is a copy, or nothing was noted, if two of
            a row came from other weights, or any two from other faces.
    """
    recipes, weights, results = dict(rows), dict[str, dict[str, str]](), dict[Path, TrialResult]()
    for path in sorted(folder.glob("*.json")):
        found = read_result(path)
        if found.row not in recipes:
            continue
        recipe = recipes[found.row].model_copy(update={"seed": found.seed})
        require_trial(found, Trial(found.row, recipe), path)
        results[path] = found
        if observed is not None and not found.observed.get(observed):
            raise StudyError(
                f"{path}: expected a run whose {observed} was noted, found one without; remove it, or name "
                "another --results folder"
            )
        known = weights.setdefault(found.row, {})
        if change := _first_change(known, found.weights or {}):
            raise StudyError(
                f"{path}: came from other weights than the results of its row before it ({change}); remove "
                "the one that is not meant, or name another --results folder"
            )
        known.update(found.weights or {})
    _require_same_faces(results)
    return list(results.values())


def require_trial(found: TrialResult, trial: Trial, path: Path) -> None:
    """Refuse a result that is not that of a trial.

    Raises:
        StudyError: if it came from another recipe, or lies at ``path`` under another name than its own.
    """
    if path.stem != trial.name:
        raise StudyError(
            f"{path}: expected the name {trial.name}.json of the run in it, which counts once; remove "
            "the copy, or rename it back"
        )
    if (difference := first_difference(found.recipe, trial.recipe)) is not None:
        key, theirs, ours = difference
        raise StudyError(
            f"{path}: came from another recipe ({key} = {theirs!r}, now {ours!r}); remove it, or name "
            "another --results folder"
        )


def require_weights(noted: dict[str, str] | None, recipe: Recipe, where: Path) -> None:
    """Refuse what came from other files than a recipe's teachers and ``model.init`` name now.

    Args:
        noted: SHA-256 of the files that it came from; None if that is not known.
        recipe: what is to be trained beside it, or on from it.
        where: what errors name.

    Raises:
        StudyError: if one of the files is another now; one that is gone can start nothing that differs.
    """
    with suppress(CheckpointError):
        if change := _first_change(noted or {}, weights_sha256(recipe)):
            raise StudyError(
                f"{where}: came from other weights than lie there now ({change}); put that file back, remove "
                "the result or run, or name another --results and --runs folder"
            )


def require_faces(
    results: Sequence[TrialResult], folder: Path, recipe: Recipe, train_faces: Faces, valid_faces: Faces
) -> None:
    """Refuse to train beside results that came from other data.

    Args:
        results: what is there of the study.
        folder: of their files.
        recipe: what is to be trained.
        train_faces: that it is to learn from.
        valid_faces: that it is to be judged on.

    Raises:
        StudyError: names the first result that came from others.
    """
    now = {"train": fingerprint(train_faces), "valid": fingerprint(valid_faces)}
    for found in results:
        if change := _other_faces(found, now, taught_alike=found.target == recipe.data.target):
            raise StudyError(
                f"{folder / f'{found.row}-s{found.seed}.json'}: came from other faces than the data has now "
                f"({change}); put the data back, remove the result, or name another --results folder"
            )


def _require_same_faces(results: Mapping[Path, TrialResult]) -> None:
    """Refuse to set side by side what was learnt from, or judged on, other data."""
    before: dict[str, tuple[Path, TrialResult]] = {}  # one of each target
    for path, found in results.items():
        for target, (other, its) in before.items():
            if change := _other_faces(found, its.known_faces, taught_alike=found.target == target):
                raise StudyError(
                    f"{path}: came from other faces than {other.name} ({change}); remove what is not meant, "
                    "or name another --results folder"
                )
        if found.target not in before or found.faces:
            before[found.target] = path, found


def _first_change(noted: dict[str, str], others: dict[str, str]) -> str | None:
    """The first file of one name that is not the same, in words."""
    for name, digest in noted.items():
        if (other := others.get(name, digest)) != digest:
            return f"{name}: SHA-256 {digest[:8]}..., now {other[:8]}..."
    return None


def _other_faces(found: TrialResult, others: dict[str, str], *, taught_alike: bool) -> str | None:
    """The first split whose faces are not the same, in words; one side may know no more than their number.

    Of training faces that teach by votes here and by labels there, that number alone is compared.
    """
    for split, faces in found.known_faces.items():
        other = others.get(split, faces)
        if split == "train" and not taught_alike:
            other = other.partition(", targets")[0]
        if not (faces.startswith(other) or other.startswith(faces)):
            return f"{split}: {faces}, against {other}"
    return None

"""From a recipe to the data sets that it learns from and is chosen on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from crossfer.data.names import FOUND, DatasetName
from crossfer.data.sample import DataError, Dataset
from crossfer.data.source import SOURCES, classes_of, open_dataset, splits_of
from crossfer.data.split import cut_split
from crossfer.data.splitfile import read_split_file
from crossfer.data.subset import take
from crossfer.data.synthetic import load_synthetic
from crossfer.labels import LabelSet
from crossfer.system.atomic import write_atomically
from crossfer.train.config import DataConfig, RecipeError

SPLIT_FILE = "split.csv"  # in a run's folder: the validation split that was cut for it
CUT_FOR = "training into this folder, which may cut it anew"

LICENSES: dict[str, str] = {
    "synthetic": "weights trained on drawn faces (Apache-2.0)",
    **{name: source.license for name, source in SOURCES.items()},
}


def placed(config: DataConfig, root: Path | None) -> DataConfig:
    """The data where it lies now: at ``root`` if that is named, else where the recipe says."""
    return config if root is None else config.model_copy(update={"root": root})


def open_split(config: DataConfig, split: Literal["train", "valid"]) -> Dataset:
    """One split of a recipe's data set.

    Args:
        config: which data set, and how its labels are made.
        split: ``"train"`` or ``"valid"``; they may follow different protocols.

    Raises:
        RecipeError: if the data set needs a place and none is named, or nothing is there.
        DataError: if the data is not as its layout promises, or there is no validation split.
    """
    dataset = _drawn(config, split) if config.name == "synthetic" else _opened(config, split)
    if split == "train" and config.class_limit is not None:
        dataset = replace(dataset, samples=take(dataset.samples, _at_most(config.class_limit, dataset)))
    return dataset


def _drawn(config: DataConfig, split: Literal["train", "valid"]) -> Dataset:
    return load_synthetic(
        split=split, samples=config.samples if split == "train" else max(64, config.samples // 4)
    )


def _opened(config: DataConfig, split: Literal["train", "valid"]) -> Dataset:
    name, place = _located(config)
    return open_dataset(
        name,
        place,
        split=split,
        protocol=config.protocol if split == "train" else config.valid_protocol,
        label_version=config.labels,
        classes=_classes(config),
        numbered=config.classes is not None,
        split_file=config.split_file,
        skip_bad=config.skip_bad,
    )


def _classes(config: DataConfig) -> LabelSet | None:
    """Those of a folder or table; None where the recipe does not name them."""
    return None if config.classes is None else classes_of(*_located(config), config.classes)


def _at_most(limit: int, dataset: Dataset) -> list[int]:
    """Rows of at most so many images of each class, drawn once and for all, in their order."""
    labels = np.array([sample.label for sample in dataset.samples])
    drawn = np.random.default_rng(0).permutation(len(labels))
    kept = [drawn[labels[drawn] == label][:limit] for label in range(len(dataset.labels))]
    return sorted(np.concatenate(kept).tolist())


def _located(config: DataConfig) -> tuple[DatasetName, Path]:
    """Name and place of a data set; drawn faces, which lie nowhere, are not asked for."""
    name, place = config.name, config.root
    assert name != "synthetic"  # noqa: S101
    title = SOURCES[name].title
    if place is None:
        raise RecipeError(f"data.root: where {title} lies is not named; add --root DIR")
    if not place.exists():
        raise RecipeError(
            f"data.root = {str(place)!r}: expected {title}, found nothing there; check the path"
        )
    return name, place


def cut_valid(
    config: DataConfig,
    train: Dataset,
    folder: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Path | None:
    """Cut a validation split out of train, where a recipe asks for it and the set has none of its own.

    It is written to the run's folder, so that whatever is done with the run later finds the same images.
    Duplicates, near ones too, stay on one side. The cut does not depend on the recipe's seed. It takes the
    place of one that training cut before, never of another split file.

    Args:
        config: its ``valid_share`` is cut.
        train: all images to cut from.
        folder: the run's folder.
        progress: called with the number of images read since the last call.

    Returns:
        The split file; None where none is needed.

    Raises:
        RecipeError: if another split file lies in the cut's place.
        DataError: if an image cannot be read, a split file cannot hold its name, or train is too small to cut
            from.
    """
    if not config.valid_share or config.split_file is not None or config.name == "synthetic":
        return None
    path = folder / SPLIT_FILE
    _refuse_other_split(path)
    if "valid" in splits_of(*_located(config), train.labels):
        path.unlink(missing_ok=True)  # it would stand for the set's own validation split
        return None
    shares = {"valid": config.valid_share}
    file = cut_split(config.name, train, shares, classes=config.classes, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, replace(file, purpose=CUT_FOR).to_text().encode())
    return path


def _refuse_other_split(path: Path) -> None:
    """Refuse a split file that training did not cut."""
    try:
        ours = not path.exists() or read_split_file(path).purpose == CUT_FOR
    except DataError:
        ours = False
    if not ours:
        raise RecipeError(
            f"{path}: expected no split file but one that training cut, found another, which would be lost; "
            "name it as data.split_file, or name another folder for the run"
        )


def data_of_run(config: DataConfig, folder: Path, labels: LabelSet | None = None) -> DataConfig:
    """The data of a run as it found it: with the split that was cut for it, and the classes that it learnt.

    Args:
        config: of its recipe.
        folder: the run's folder.
        labels: its classes, where they are known already.

    Raises:
        DataError: if the split that was cut for it is gone, which nothing else could stand for.
    """
    split_file, cut = config.split_file, folder / SPLIT_FILE
    if config.valid_share and split_file is None and config.name != "synthetic":
        if cut.exists():
            split_file = cut
        elif "valid" not in splits_of(*_located(config), labels or _classes(config)):
            raise DataError(
                f"{cut}: expected the split that was cut for this run, found nothing; put it back beside "
                "best.safetensors"
            )
    classes = labels.name if labels is not None and config.classes == FOUND else config.classes
    return config.model_copy(update={"split_file": split_file, "classes": classes})

"""From a recipe to the data sets that it learns from and is chosen on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crossfer.data.sample import Dataset
from crossfer.data.source import SOURCES, open_dataset
from crossfer.data.synthetic import load_synthetic
from crossfer.labels import label_set
from crossfer.train.config import DataConfig, RecipeError

LICENSES: dict[str, str] = {
    "synthetic": "weights trained on drawn faces (Apache-2.0)",
    **{name: source.license for name, source in SOURCES.items()},
}


def open_split(config: DataConfig, split: Literal["train", "valid"], root: Path | None = None) -> Dataset:
    """One split of a recipe's data set.

    Args:
        config: which data set, and how its labels are made.
        split: ``"train"`` or ``"valid"``; they may follow different protocols.
        root: where the data lies, instead of the recipe's ``data.root``.

    Raises:
        RecipeError: if the data set needs a place and none is named, or nothing is there.
        DataError: if the data is not as its layout promises, or there is no validation split.
    """
    if config.name == "synthetic":
        return load_synthetic(
            split=split, samples=config.samples if split == "train" else max(64, config.samples // 4)
        )
    place = root or config.root
    if place is None:
        raise RecipeError(f"data.root: the folder that holds {config.name} is not named; add --root DIR")
    if not place.exists():
        raise RecipeError(
            f"data.root = {str(place)!r}: expected a folder that holds {config.name}, found none there"
        )
    return open_dataset(
        config.name,
        place,
        split=split,
        protocol=config.protocol if split == "train" else config.valid_protocol,
        labels=config.labels,
        classes=None if config.classes is None else label_set(config.classes),
        numbered=config.classes is not None,
        split_file=config.split_file,
        skip_bad=config.skip_bad,
    )

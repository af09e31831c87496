"""From a recipe to the data sets that it learns from and is chosen on."""

from __future__ import annotations

from pathlib import Path

from crossfer.data.ferplus import load_ferplus
from crossfer.data.sample import Dataset
from crossfer.data.synthetic import load_synthetic
from crossfer.train.config import DataConfig, RecipeError

LICENSES = {
    "ferplus": "weights trained on FER2013 images (research use) with FER+ votes (MIT)",
    "synthetic": "weights trained on drawn faces (Apache-2.0)",
}


def open_split(config: DataConfig, split: str, root: Path | None = None) -> Dataset:
    """One split of a recipe's data set.

    Args:
        config: which data set, and how its labels are made.
        split: ``"train"`` or ``"valid"``; they may follow different protocols.
        root: where the data lies, instead of the recipe's ``data.root``.

    Raises:
        RecipeError: if the data set needs a folder and none is named, or it is not there.
        DataError: if the data is not as its layout promises.
    """
    if config.name == "synthetic":
        return load_synthetic(
            split=split, samples=config.samples if split == "train" else max(64, config.samples // 4)
        )
    folder = root or config.root
    if folder is None:
        raise RecipeError(f"data.root: the folder that holds {config.name} is not named; add --root DIR")
    if not folder.is_dir():
        raise RecipeError(
            f"data.root = {str(folder)!r}: expected a folder that holds {config.name}, found none there"
        )
    return load_ferplus(
        folder,
        split="train" if split == "train" else "valid",
        protocol=config.protocol if split == "train" else config.valid_protocol,
        labels=config.labels,
        skip_bad=config.skip_bad,
    )

"""What ``crossfer data split`` does once its options are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from crossfer.console import text_table
from crossfer.data.check import Progress
from crossfer.data.names import DatasetName
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.source import SOURCES, splits_of
from crossfer.data.split import Duplicates, cut_split
from crossfer.data.splitfile import SplitFile
from crossfer.printable import printable


def cut_split_file(
    name: DatasetName,
    root: Path,
    options: ListingOptions,
    fractions: Mapping[str, float],
    *,
    classes: str | None,
    seed: int,
    duplicates: Duplicates,
    progress: Progress,
) -> tuple[SplitFile, Table]:
    """Cuts new splits out of a set's train images.

    Args:
        name: which data set.
        root: where it lies.
        options: classes of a folder or table.
        fractions: share of each class that each new split gets.
        classes: as they were said; None where they were not.
        seed: of the choice.
        duplicates: which images stay together.
        progress: who is told how it gets on.

    Returns:
        The split file, and a table of how many images of each class it puts where.

    Raises:
        DataError: if the set already has one of these splits, or as ``crossfer.data.split.cut_split``
            does.
    """
    own = splits_of(name, root, options.classes)
    if taken := [split for split in fractions if split in own]:
        raise DataError(
            f"{root}: {SOURCES[name].title} has a {taken[0]} split of its own; use that, or cut only what "
            "it lacks"
        )
    if "train" not in own:
        raise DataError(f"{root}: expected a train split to cut from, found {', '.join(own)} alone")
    if not fractions or sum(fractions.values()) >= 1:
        raise ValueError("expected shares above 0 that leave something to train, such as --valid 0.1")
    dataset = SOURCES[name].list(root, options, Faults(skip=False))
    progress.total(len(dataset))
    file = cut_split(
        name,
        dataset,
        fractions,
        classes=classes,
        seed=seed,
        duplicates=duplicates,
        progress=progress.read,
    )
    return file, _summary(dataset, file, ["train", *fractions])


def _summary(dataset: Dataset, file: SplitFile, splits: list[str]) -> Table:
    parts = [file.split_of[sample.name] for sample in dataset.samples]
    counts = Counter((sample.label, part) for sample, part in zip(dataset.samples, parts, strict=True))
    table = text_table(None, "class", *splits)
    for label, name in enumerate(dataset.labels.expressions):
        table.add_row(escape(printable(name)), *(f"{counts[label, split]:,}" for split in splits))
    table.add_row("all", *(f"{parts.count(split):,}" for split in splits))
    return table

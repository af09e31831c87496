"""The one door to every data set, and the one table of what is known about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from crossfer.data.affectnet import LIST_FOLDERS, LISTS, list_affectnet
from crossfer.data.ferplus import list_ferplus
from crossfer.data.folder import found_classes, list_folder, split_folders
from crossfer.data.names import (
    FOUND,
    LABEL_VERSION,
    OWN,
    PROTOCOL,
    SPLITS,
    DatasetName,
    LabelVersion,
    Protocol,
    Split,
)
from crossfer.data.rafdb import LISTS as RAFDB_LISTS
from crossfer.data.rafdb import list_rafdb
from crossfer.data.sample import BadSampleError, DataError, Dataset, Faults, ListingOptions, Sample
from crossfer.data.sfew import list_sfew
from crossfer.data.splitfile import carve, read_split_file
from crossfer.data.subset import keep_readable
from crossfer.data.table import list_table, split_values
from crossfer.labels import AFFECTNET7, AFFECTNET8, FERPLUS, RAFDB, SFEW, LabelSet, label_set


@dataclass(frozen=True)
class Source:
    """What is known about a data set.

    Attributes:
        title: its name in prose.
        list: lists a split without reading images.
        label_files: patterns, below the root, of the files with its labels, over which no command writes.
        labels: its classes; of a folder or table, those assumed unless told.
        splits: the parts it comes in; None if that depends on the copy.
        license: what may be done with weights trained on it, for a model's metadata.
    """

    title: str
    list: Callable[[Path, ListingOptions, Faults], Dataset]
    label_files: tuple[str, ...]
    labels: LabelSet
    splits: tuple[Split, ...] | None
    license: str


_RESEARCH = "weights trained on {} images (for non-commercial research, by its licence)"
_AFFECTNET_LISTS = (
    *(f"**/{folder}{name}" for folder in LIST_FOLDERS for name in LISTS.values()),
    "**/annotations/*_exp.npy",
)
_OWN = "weights trained on the user's own images; their licence applies"

SOURCES: dict[DatasetName, Source] = {
    "ferplus": Source(
        "FERPlus",
        list_ferplus,
        ("**/fer2013new.csv", "**/fer2013.csv", "**/FER2013*/label.csv"),
        FERPLUS,
        ("train", "valid", "test"),
        "weights trained on FER2013 images (research use) with FER+ votes (MIT)",
    ),
    "rafdb": Source(
        "RAF-DB",
        list_rafdb,
        tuple(f"**/{path}" for path in RAFDB_LISTS),
        RAFDB,
        ("train", "test"),
        _RESEARCH.format("RAF-DB"),
    ),
    "sfew": Source("SFEW 2.0", list_sfew, (), SFEW, ("train", "test"), _RESEARCH.format("SFEW 2.0")),
    "affectnet7": Source(
        "AffectNet, 7 classes",
        partial(list_affectnet, labels=AFFECTNET7),
        _AFFECTNET_LISTS,
        AFFECTNET7,
        ("train", "test"),
        _RESEARCH.format("AffectNet"),
    ),
    "affectnet8": Source(
        "AffectNet, 8 classes",
        partial(list_affectnet, labels=AFFECTNET8),
        _AFFECTNET_LISTS,
        AFFECTNET8,
        ("train", "test"),
        _RESEARCH.format("AffectNet"),
    ),
    "folder": Source("a folder per class", list_folder, (), FERPLUS, None, _OWN),
    "table": Source(
        "a table of images",
        list_table,
        ("*.[cC][sS][vV]", "*.[pP][aA][rR][qQ][uU][eE][tT]"),
        FERPLUS,
        None,
        _OWN,
    ),
}


def open_dataset(
    name: DatasetName,
    root: str | Path,
    *,
    split: Split = "test",
    protocol: Protocol = PROTOCOL,
    label_version: LabelVersion = LABEL_VERSION,
    classes: LabelSet | None = None,
    numbered: bool = False,
    split_file: str | Path | None = None,
    skip_bad: bool = False,
    every: bool = False,
) -> Dataset:
    """Lists one split of a data set; images are read only when they are asked for.

    Where a set comes without a validation split, ``split_file`` cuts it out of train. What that file calls
    train is then ``"train"``; what it calls valid, or test, is ``"valid"``, or ``"test"``.

    Args:
        name: which data set.
        root: where it lies: a folder or a zip; for ``"table"`` the table.
        split: which part. A folder or table that is not parted gives all its images as ``"train"`` and as
            ``"test"``.
        protocol: how FERPlus votes become labels; other sets have one protocol.
        label_version: which FERPlus labels.
        classes: the classes of a folder or table; FERPlus's eight if not given.
        numbered: a table's labels may be numbers, counted from 0 in the order of ``classes``, unless a class
            has a number for its name.
        split_file: as ``crossfer data split`` writes it.
        skip_bad: leave out bad rows and images and report them in ``Dataset.skipped``, instead of raising;
            every image is decoded once to know.
        every: list images that the protocol leaves out too, with the label ``NO_LABEL``; not for training.

    Raises:
        DataError: if the data is not there or not as its layout promises, or the set has no such split.
        ValueError: for an unknown data set, split, protocol or label version.
    """
    for option, value, allowed in (("data set", name, SOURCES), ("split", split, SPLITS)):
        if value not in allowed:
            raise ValueError(f"unknown {option} {value!r}; expected one of {', '.join(allowed)}")
    root, source, faults = Path(root), SOURCES[name], Faults(skip_bad)
    options = ListingOptions(
        split, protocol, label_version, classes or source.labels, numbered=numbered, every=every
    )
    if split_file is None:
        _require_split(name, root, options)
        dataset = source.list(root, options, faults)
    else:
        dataset = _from_split_file(name, root, options, faults, Path(split_file))
    if not skip_bad:
        return replace(dataset, read=partial(_read_one, dataset.read))
    dataset = keep_readable(dataset, faults)
    return replace(dataset, skipped=tuple(fault.message for fault in faults.found))


def _read_one(read: Callable[[Sample], np.ndarray], sample: Sample) -> np.ndarray:
    """Pixels of a sample; an error says that it could have been left out."""
    try:
        return read(sample)
    except DataError as error:
        raise BadSampleError(str(error)) from error


def splits_of(name: DatasetName, root: Path, classes: LabelSet | None = None) -> tuple[Split, ...]:
    """The parts in which a data set comes; a folder or table that is not parted counts as ``("train",)``."""
    return _parts_of(name, root, classes) or ("train",)


def _parts_of(name: DatasetName, root: Path, classes: LabelSet | None) -> tuple[Split, ...]:
    """The parts in which a data set comes; none for a folder or table that is not parted."""
    source = SOURCES[name]
    if source.splits is not None:
        return source.splits
    found = split_folders(root, classes or source.labels) if name == "folder" else split_values(root)
    return tuple(split for split in SPLITS if split in found)


def set_files(name: DatasetName, root: Path) -> Iterator[Path]:
    """The files that make up a data set, beside its images: the one that names it, zips, and label files."""
    yield root
    deep = (path for pattern in ("*", "*/*") for path in root.glob(pattern))
    links = (path for path in deep if path.is_symlink() and path.is_dir())  # into which no pattern goes
    for folder in (root, *links):
        for pattern in ("**/*.[zZ][iI][pP]", *SOURCES[name].label_files):
            yield from folder.glob(pattern)


def classes_of(name: DatasetName, root: str | Path, classes: str) -> LabelSet:
    """The classes of a folder or table as they are named on the command line or in a recipe.

    Args:
        name: which data set.
        root: where it lies.
        classes: a label set's name, or expressions with commas between; of a folder also ``"found"``: those
            whose folders are there.

    Raises:
        DataError: if ``"found"`` is asked of anything but a folder, or the folders are no classes.
        ValueError: if no such label set is known.
    """
    if classes != FOUND:
        return label_set(classes)
    if name != "folder":
        raise DataError(f"classes {FOUND!r} belongs to a folder per class; name the classes of {name}")
    return found_classes(Path(root))


def _from_split_file(
    name: DatasetName, root: Path, options: ListingOptions, faults: Faults, path: Path
) -> Dataset:
    source, file = SOURCES[name], read_split_file(path)
    if file.data != name:
        raise DataError(f"{path}: expected a split of {name}, found one of {file.data}; name another file")
    if options.split not in file.splits:
        own = splits_of(name, root, options.classes)
        if options.split not in own or options.split == "train":
            raise DataError(
                f"{path}: expected images of split {options.split}, found {', '.join(sorted(file.splits))} "
                "alone; cut it anew with that part"
            )
        return source.list(root, options, faults)
    train = source.list(root, replace(options, split="train"), faults)
    return carve(train, file, path, options.split, faults)


def _require_split(name: DatasetName, root: Path, options: ListingOptions) -> None:
    split, parts = options.split, _parts_of(name, root, options.classes)
    if split in (parts or ("train", "test")):
        return
    advice = "choose another split"
    if "train" in (parts or ("train",)):
        share = "--test 0.1 " if split == "test" else ""
        said = ""
        if name in OWN and options.classes.expressions != SOURCES[name].labels.expressions:
            said = f'--classes "{", ".join(options.classes.expressions)}" '
        advice = (
            f"cut one from train with 'crossfer data split {name} --root {root} {said}{share}-o split.csv' "
            "and name that file as the split file"
        )
    raise DataError(f"{root}: {SOURCES[name].title} has no {split} split here; {advice}")

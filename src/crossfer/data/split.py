"""Cutting splits from the images of one: stratified, seeded, and never through a person or a duplicate."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

from crossfer.data.duplicates import find_near_pairs, group_duplicates, join_groups
from crossfer.data.fingerprint import take_fingerprints
from crossfer.data.names import DatasetName
from crossfer.data.sample import DataError, Dataset
from crossfer.data.splitfile import SplitFile

Duplicates = Literal["near", "exact", "ignore"]


def cut_split(
    name: DatasetName,
    train: Dataset,
    fractions: Mapping[str, float],
    *,
    classes: str | None = None,
    seed: int = 0,
    duplicates: Duplicates = "near",
    progress: Callable[[int], None] = lambda _: None,
) -> SplitFile:
    """Cuts new splits out of a set's train images, with the command that does the same.

    Args:
        name: what commands call the data set.
        train: all images to cut from.
        fractions: share of each class that each new split gets; the rest is ``"train"``.
        classes: of a folder or table, as the command takes them; None where it was not told.
        seed: of the choice.
        duplicates: which images must stay together: ``"near"`` also keeps nearly the same ones together.
            Images of one subject always stay together.
        progress: called with the number of images read since the last call.

    Raises:
        DataError: if a name has a line break or is no UTF-8 (the message shows the first one escaped), an
            image cannot be read, or one of the new splits would be empty.
    """
    _require_plain_names(train)
    groups = _inseparable(train, duplicates, progress)
    labels = np.array([sample.label for sample in train.samples])
    names = [sample.name for sample in train.samples]
    parts = assign(labels, groups, names, fractions, seed=seed)
    for split in fractions:
        if split not in parts:
            raise DataError(f"{train.name}: {len(train):,} images leave none for {split}; ask for more")
    shares = " ".join(f"--{split} {share:g}" for split, share in fractions.items())
    said = "" if classes is None else f" --classes {shlex.quote(' '.join(classes.split()))}"
    command = f"crossfer data split {name}{said} {shares} --seed {seed} --duplicates {duplicates}"
    return SplitFile(name, command, dict(zip(names, parts, strict=True)))


def _require_plain_names(train: Dataset) -> None:
    """Makes sure that a split file can hold the names of a set's images, before they are read."""
    for sample in train.samples:
        if not _is_plain(sample.name):
            shown = str(sample.name.encode("utf-8", "surrogateescape"))[1:]
            raise DataError(
                f"{train.name}: expected names in UTF-8 without line breaks, which a split file can hold, "
                f"found {shown}; rename that image"
            )


def _is_plain(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\n" not in name and "\r" not in name


def _inseparable(train: Dataset, duplicates: Duplicates, progress: Callable[[int], None]) -> np.ndarray:
    """The group (N,) of each image, of those that stay together."""
    groups = np.arange(len(train))
    if duplicates != "ignore":
        prints = take_fingerprints([train], progress=progress)
        if prints.unreadable:
            raise next(iter(prints.unreadable.values()))
        groups = group_duplicates(prints, find_near_pairs(prints) if duplicates == "near" else None)
    subjects = [sample.subject for sample in train.samples]
    return join_groups(groups, subjects) if any(subject is not None for subject in subjects) else groups


def assign(
    labels: np.ndarray, groups: np.ndarray, names: Sequence[str], fractions: Mapping[str, float], *, seed: int
) -> list[str]:
    """Parts groups of images, class by class as near to the fractions as whole groups allow.

    Groups come in an order that follows from the seed and their images' names alone, by a hash, so it is the
    same on every machine and does not depend on the order of listing. Each goes to the first split that it
    brings nearer to the wanted number of every class. A class with more groups than there are new splits
    aims at one image at least in each.

    Args:
        labels: (N,) class of each image, from 0.
        groups: (N,) group of each image.
        names: what each image is called.
        fractions: share of each class that each new split gets; the rest is ``"train"``.
        seed: of the order.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(index)
    counts = np.bincount(labels)
    apart = np.bincount(np.concatenate([np.unique(labels[rows]) for rows in members.values()]))
    least = np.where(apart > len(fractions), 1.0, 0.0)
    missing = {split: np.maximum(counts * share, least) for split, share in fractions.items()}
    scale = np.maximum(counts, 1.0)
    chosen = ["train"] * len(labels)
    for rows in sorted(members.values(), key=lambda rows: _turn(min(names[i] for i in rows), seed)):
        size = np.bincount(labels[rows], minlength=len(counts))
        for split, wanted in missing.items():
            if np.sum((wanted**2 - (wanted - size) ** 2) / scale) > 0:
                missing[split] = wanted - size
                for i in rows:
                    chosen[i] = split
                break
    return chosen


def _turn(name: str, seed: int) -> bytes:
    return blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()

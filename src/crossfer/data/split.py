"""Cutting splits from the images of one: stratified, seeded, and never through a person or a duplicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

from crossfer.data.duplicates import find_near_pairs, group_duplicates, join_groups
from crossfer.data.fingerprint import take_fingerprints
from crossfer.data.sample import DataError, Dataset

Duplicates = Literal["near", "exact", "ignore"]


def cut(
    dataset: Dataset,
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    duplicates: Duplicates = "near",
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Chooses a split for each image.

    Args:
        dataset: the images to part.
        fractions: share of each class that each new split gets; the rest is ``"train"``.
        seed: of the choice.
        duplicates: which images must stay together: ``"near"`` also keeps nearly the same ones together.
            Images of one subject always stay together.
        progress: called with the number of images read since the last call.

    Returns:
        A split for each image, in the order of ``dataset.samples``.

    Raises:
        DataError: if an image cannot be read, or one of the new splits would be empty.
    """
    groups = np.arange(len(dataset))
    if duplicates != "ignore":
        prints = take_fingerprints([dataset], progress=progress)
        if prints.unreadable:
            raise DataError(next(iter(prints.unreadable.values())))
        groups = group_duplicates(prints, find_near_pairs(prints) if duplicates == "near" else None)
    subjects = [sample.subject for sample in dataset.samples]
    if any(subject is not None for subject in subjects):
        groups = join_groups(groups, subjects)
    labels = np.array([sample.label for sample in dataset.samples])
    names = [sample.name for sample in dataset.samples]
    chosen = assign(labels, groups, names, fractions, seed=seed)
    for split in fractions:
        if split not in chosen:
            raise DataError(f"{dataset.name}: {len(dataset):,} images leave none for {split}; ask for more")
    return chosen


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

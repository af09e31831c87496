"""RAF-DB, the basic set: 15,339 aligned faces with one of seven expressions, labelled 1 to 7.

Source: Li, Deng and Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression
Recognition in the Wild", CVPR 2017.

Layouts, found by what lies in the root (or in a zip, or with zips in place of folders, as it is shipped):

* the publishers': ``EmoLabel/list_patition_label.txt`` (spelled so; lines such as ``train_00001.jpg 5``)
  and ``Image/aligned/train_00001_aligned.jpg``. The list may lie at the root, be spelled correctly, and the
  images may lie in ``aligned`` at the root or lack ``_aligned``.
* a copy in circulation with a folder per label: ``DATASET/train/1`` to ``7`` and ``DATASET/test/1`` to ``7``
  (``DATASET`` may be missing). Where it also holds a label list, folder and list must agree.

There is no validation split: it is cut from train by a split file (``crossfer data split``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossfer.data.listing import images_by_name, is_image, list_in_tree, note_missing, note_twins
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.tree import Tree, open_tree, trees_to_try
from crossfer.labels import RAFDB

LISTS = tuple(
    f"{folder}{name}"
    for folder in ("EmoLabel/", "", "DATASET/")
    for name in ("list_patition_label.txt", "list_partition_label.txt")
)
DIGITS = frozenset(str(label) for label in range(1, len(RAFDB) + 1))
FOLDERS = ("Image/aligned", "aligned")


def list_rafdb(root: Path, options: ListingOptions, faults: Faults) -> Dataset:
    """Lists ``"train"`` or ``"test"`` of RAF-DB's basic set without reading an image.

    Args:
        root: the folder or zip.
        options: only the split matters.
        faults: what to do about bad lines, missing images, images of one name, and folders that contradict
            the list.

    Returns:
        The images, sorted by name; ``Sample.name`` is the publishers', such as ``train_00001.jpg``.

    Raises:
        DataError: if the root holds neither layout.
    """
    split, outer = options.split, open_tree(root, "RAF-DB")
    for tree in trees_to_try(outer):
        labels = _read_list(tree, faults)
        for folder in FOLDERS:
            if labels and (images := tree.branch(folder)) is not None:
                return _from_list(images, labels, split, faults)
        for folder in (f"DATASET/{split}", split):
            if (images := tree.branch(folder)) is not None and DIGITS.intersection(images.folders()):
                return _from_folders(images, labels, split, faults)
    raise DataError(
        f"{root}: expected RAF-DB as EmoLabel/list_patition_label.txt with Image/aligned/*.jpg, or as "
        f"DATASET/{split}/1 to 7, found {outer.listing()}; name the folder that holds one of these"
    )


def name_of(member: str) -> str:
    """The publishers' name of an image: without folders and without ``_aligned``.

    >>> name_of("1/train_00001_aligned.jpg")
    'train_00001.jpg'
    """
    return member.rsplit("/", 1)[-1].replace("_aligned", "")


def _read_list(tree: Tree, faults: Faults) -> dict[str, int]:
    """From name to class index; empty where there is no list."""
    path = next((name for name in LISTS if tree.has(name)), None)
    data = None if path is None else tree.bytes_of(path)
    if data is None:
        return {}
    labels, names = {}, []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        if (cells := line.split()) == []:
            continue
        if len(cells) != 2 or not cells[0].startswith(("train_", "test_")) or cells[1] not in DIGITS:
            faults.add(
                f"{tree.where}/{path}, line {number}: expected a line such as 'train_00001.jpg 5' with a "
                f"label of 1 to {len(RAFDB)}, found {line[:60]!r}"
            )
            continue
        names.append((number, cells[0]))
        labels.setdefault(cells[0], int(cells[1]) - 1)
    note_twins(f"{tree.where}/{path}", names, faults)
    return labels


def _from_list(images: Tree, labels: dict[str, int], split: str, faults: Faults) -> Dataset:
    listed = sorted(name for name in labels if name.startswith(f"{split}_"))
    # Originals may lie beside the aligned faces.
    members = images_by_name(images, name_of, set(listed), faults, mark="_aligned")
    note_missing(images.where, [name for name in listed if name not in members], len(listed), faults)
    found = [(members[name], labels[name]) for name in listed if name in members]
    stray = sorted(name for name in members.keys() - labels.keys() if name.startswith(f"{split}_"))
    faults.unlisted += [f"{images.where}/{members[name]}" for name in stray]
    return _dataset(images, found, split)


def _from_folders(images: Tree, labels: dict[str, int], split: str, faults: Faults) -> Dataset:
    found: dict[str, tuple[str, int]] = {}
    for member in sorted(images.names):
        folder, name = member.partition("/")[0], name_of(member)
        if not is_image(member):
            continue
        if folder not in DIGITS:
            faults.add(f"{images.where}/{member}: expected a folder 1 to {len(RAFDB)}, found {folder!r}")
        elif (label := int(folder) - 1) != labels.get(name, label):
            faults.add(
                f"{images.where}/{member}: lies in the folder of label {folder}, but the list says "
                f"{labels[name] + 1}; obtain the set again",
                "mismatch",
            )
        elif name in found:
            faults.add(f"{images.where}/{member}: is {name}, as {found[name][0]} is too; leave one")
        else:
            found[name] = member, label
    listed = sum(name.startswith(f"{split}_") for name in labels)
    note_missing(images.where, _unplaced(images, labels, split), listed, faults)
    return _dataset(images, [found[name] for name in sorted(found)], split)


def _dataset(images: Tree, found: Sequence[tuple[str, int]], split: str) -> Dataset:
    return list_in_tree(
        images,
        found,
        name="rafdb",
        protocol="basic",
        labels=RAFDB,
        split=split,
        name_of=name_of,
    )


def _unplaced(images: Tree, labels: dict[str, int], split: str) -> list[str]:
    """Listed images of a split that lie in no label's folder."""
    there = {name_of(member) for member in images.names}
    return sorted(name for name in labels if name.startswith(f"{split}_") and name not in there)

"""Any images sorted into one folder per class, with or without a folder per split above them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import add
from pathlib import Path

from crossfer.data.listing import is_image, list_in_tree
from crossfer.data.names import NAME_OWN
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.tree import Tree, list_some, open_tree, trees_to_try
from crossfer.images.read import SUFFIXES
from crossfer.labels import FERPLUS, LabelSet, can_be_shown, canonical

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}


def list_folder(root: Path, options: ListingOptions, faults: Faults) -> Dataset:
    """Lists the images below a folder whose subfolders are named after expressions, without reading any.

    The name of each subfolder is matched without regard to case and with common synonyms (``Happy`` is
    happiness); not every class needs one. Images may lie deeper inside a class's folder. Files beside the
    class folders are ignored; inside them, whatever is no image counts as bad.

    Args:
        root: the folder, or zip, that holds the class folders, or folders ``train``, ``valid`` (or ``val``)
            and ``test`` that hold them; or a single folder with these in it.
        options: the classes to expect, and which of the split folders to take; where there are none, the
            split is only what to call all images.
        faults: what to do about unknown class folders and files that are no image.

    Returns:
        The images, sorted by path; ``read`` gives upright uint8 RGB (H, W, 3).

    Raises:
        DataError: if the root is no folder or holds no images by class, the split has two folders, a class
            folder has an unknown name, or a file in one has no image's suffix.
    """
    labels, split = options.classes, options.split
    tree, prefix = _split_tree(root, labels, split)
    found = list(images_by_class(tree, labels, faults, f"; {NAME_OWN}"))
    dataset = list_in_tree(
        tree,
        found,
        name="folder",
        protocol="folder per class",
        labels=labels,
        split=split,
        name_of=partial(add, prefix),
    )
    if not len(dataset):
        raise DataError(
            f"{root}: expected images in folders named {', '.join(labels.expressions)}, found no "
            "such image; name the folder that holds the class folders"
        )
    return dataset


def split_folders(root: Path, labels: LabelSet) -> set[str]:
    """The splits for which there is a folder; none where the root holds one set of class folders."""
    tree = _splits_at(open_tree(root, "a folder per class"), labels)
    names = {name.lower() for name in tree.folders()} if tree else set()
    return {split for split, spellings in SPLIT_FOLDERS.items() if names.intersection(spellings)}


def found_classes(root: Path) -> LabelSet:
    """The classes whose folders hold an image, in alphabetical order; those of train where there are splits.

    Raises:
        DataError: if there are fewer than two, one's name has a comma or cannot be shown, or train has two
            folders.
    """
    tree = open_tree(root, "a folder per class")
    for inner in trees_to_try(tree):
        if part := _folder_of("train", inner):
            tree = inner.branch(part) or tree
            break
        if len(inner.folders()) > 1:
            tree = inner
        if any(map(FERPLUS.has, inner.folders())):
            break  # what lies in a class is no class: a folder a person, say
    names = {name.partition("/")[0] for name in tree.names if "/" in name and is_image(name)}
    classes = tuple(sorted({canonical(name) for name in names}))
    if len(classes) < 2:
        raise DataError(
            f"{root}: expected at least two folders of images, one for each class, found "
            f"{', '.join(sorted(names)) or 'none'}; name the folder that holds the class folders"
        )
    if strange := sorted(name for name in names if "," in name):
        raise DataError(
            f"{tree.where}/{strange[0]}: expected a class name without a comma; rename the folder"
        )
    if hidden := sorted(name for name in names if not can_be_shown(canonical(name))):
        raise DataError(
            f"{tree.where}: expected class names in printable characters, found {hidden[0]!r}; rename that "
            "folder"
        )
    return LabelSet(",".join(classes), classes)


def images_by_class(
    tree: Tree, labels: LabelSet, faults: Faults, remedy: str = ""
) -> Iterator[tuple[str, int]]:
    """Member and class index of each image below the class folders of a tree, folder by folder.

    Args:
        tree: holds the class folders.
        labels: the classes to expect.
        faults: what to do about unknown class folders and files that are no image.
        remedy: ends what is said of an unknown class folder.
    """
    inside: dict[str, list[str]] = {}
    for name in sorted(tree.names):
        folder, separator, _ = name.partition("/")
        if separator:
            inside.setdefault(folder, []).append(name)
        elif name.lower().endswith(".zip") and labels.has(name[:-4]):
            faults.add(f"{tree.where}/{name}: expected a folder per class, found a zip; unpack it")
    for folder, names in inside.items():
        try:
            label = labels.index(folder)
        except ValueError as error:
            count = sum(map(is_image, names))
            images = "1 image" if count == 1 else f"{count:,} images"
            faults.add(f"{tree.where}/{folder}: {images} of an {error}{remedy}")
            continue
        for name in names:
            if is_image(name):
                yield name, label
            else:
                faults.add(
                    f"{tree.where}/{name}: expected an image ({', '.join(sorted(SUFFIXES))}), "
                    "found another file"
                )


def _split_tree(root: Path, labels: LabelSet, split: str) -> tuple[Tree, str]:
    """Where the images of a split lie, and what their names begin with."""
    tree = open_tree(root, "a folder per class")
    if (wrapped := _splits_at(tree, labels)) is None:
        return _classes_at(tree, labels), ""
    name = _folder_of(split, wrapped)
    if name is not None and (branch := wrapped.branch(name)) is not None:
        return branch, f"{name}/"
    raise DataError(
        f"{wrapped.where}: expected a folder {SPLIT_FOLDERS[split][0]} with a folder per class, found "
        f"{list_some(wrapped.folders())}; choose another split"
    )


def _folder_of(split: str, tree: Tree) -> str | None:
    """The name of the folder of a split, as it is spelled there; None if there is none."""
    found = [name for name in tree.folders() if name.lower() in SPLIT_FOLDERS[split]]
    if len(found) > 1:
        raise DataError(
            f"{tree.where}: expected one folder for the split {split}, found {' and '.join(found)}; "
            "merge them, or rename those that are not meant"
        )
    return found[0] if found else None


def _classes_at(tree: Tree, labels: LabelSet) -> Tree:
    """The tree that has a class folder, at the root or wrapped in folders; the root where none has."""
    return next((t for t in trees_to_try(tree) if any(map(labels.has, t.folders()))), tree)


def _splits_at(tree: Tree, labels: LabelSet) -> Tree | None:
    """The tree that has split folders, at the root or wrapped in folders; None where classes come first."""
    known = {name for names in SPLIT_FOLDERS.values() for name in names}
    for inner in trees_to_try(tree):
        folders = inner.folders()
        if any(labels.has(name) for name in folders):
            return None
        if any(name.lower() in known for name in folders):
            return inner
    return None

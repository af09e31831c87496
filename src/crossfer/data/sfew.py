"""SFEW 2.0: film stills with one of seven expressions, in aligned faces.

Source: Dhall, Goecke, Lucey and Gedeon, "Static Facial Expression Analysis in Tough Conditions", ICCV
Workshops 2011; version 2.0 of the EmotiW 2015 challenge.

Layout: ``Train/Train_Aligned_Faces/<Class>/*.png`` and ``Val/Val_Aligned_Faces/<Class>/*.png``, with class
folders ``Angry``, ``Disgust``, ``Fear``, ``Happy``, ``Neutral``, ``Sad``, ``Surprise``. The folder between
may end in ``_new``, as that of the validation part does in copies. Zips in place of folders, these folders
side by side, and ``Train/<Class>`` without the folder between, are read as well.

The labels of the challenge's test part are not public, so papers report its validation part: it is
``"test"`` here, and the protocol says so. A validation split is cut from train (``crossfer data split``).
"""

from __future__ import annotations

from pathlib import Path

from crossfer.data.folder import images_by_class
from crossfer.data.listing import list_in_tree
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.tree import Tree, open_tree, trees_to_try
from crossfer.labels import SFEW

PARTS = {"train": "Train", "test": "Val"}


def list_sfew(root: Path, options: ListingOptions, faults: Faults) -> Dataset:
    """Lists ``"train"`` or ``"test"`` (the official validation part) of SFEW 2.0 without reading an image.

    Args:
        root: the folder or zip.
        options: only the split matters.
        faults: what to do about unknown class folders and files that are no image.

    Raises:
        DataError: if the root does not hold the layout, or holds the faces in two folders of it.
    """
    part = PARTS[options.split]
    outer = open_tree(root, "SFEW")
    for tree in trees_to_try(outer):
        if (images := _find_images(tree, part)) is not None:
            return list_in_tree(
                images,
                sorted(images_by_class(images, SFEW, faults)),
                name="sfew",
                protocol="official validation part as test",
                labels=SFEW,
                split=options.split,
            )
    raise DataError(
        f"{root}: expected SFEW 2.0 as {part}/{part}_Aligned_Faces/<Class>/*.png, found {outer.listing()}; "
        "name the folder that holds Train and Val"
    )


def _find_images(tree: Tree, part: str) -> Tree | None:
    """The tree with the class folders of a part."""
    faces = (f"{part}_Aligned_Faces", f"{part}_Aligned_Faces_new")
    for folders in ([f"{part}/{name}" for name in faces], faces):
        found = [images for folder in folders if (images := _classes_below(tree.branch(folder))) is not None]
        if len(found) > 1:
            raise DataError(
                f"{tree.where}: expected the faces of {part} in one folder or zip, found "
                f"{' and '.join(images.where for images in found)}; move away the one that is not meant"
            )
        if found:
            return found[0]
    images = tree.branch(part)
    return images if images is not None and _has_classes(images) else None


def _classes_below(images: Tree | None) -> Tree | None:
    """The tree that has class folders: a folder, or the only one in it, as in a zip that was renamed."""
    return None if images is None else next(filter(_has_classes, trees_to_try(images, depth=1)), None)


def _has_classes(images: Tree) -> bool:
    return any(SFEW.has(name) for name in images.folders())

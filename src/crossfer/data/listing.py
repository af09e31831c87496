"""From images found in a tree to a data set: what the loaders of all layouts share."""

from __future__ import annotations

import csv
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from crossfer.data.columns import SampleColumns, as_is, pack
from crossfer.data.sample import DataError, Dataset, Faults, Sample
from crossfer.data.tree import Tree
from crossfer.images.read import SUFFIXES
from crossfer.labels import LabelSet

MAX_CELL = 1 << 24  # characters; Python's own limit is 131,072


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return name[name.rfind(".") :].lower() in SUFFIXES if "." in name else False


def csv_lines(text: Iterable[str], where: str, start: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV file: the number of the line where it begins, and its cells.

    Args:
        text: its lines.
        where: the file, for messages.
        start: number of the first of the lines.

    Raises:
        DataError: if a row is no CSV, as after a quotation mark that nothing closes, or a cell has more than
            ``MAX_CELL`` characters; it names the line where the row begins.
    """
    csv.field_size_limit(max(MAX_CELL, csv.field_size_limit()))
    lines, begins = csv.reader(text, strict=True), start
    try:
        for cells in lines:
            yield begins, cells
            begins = start + lines.line_num
    except csv.Error as error:
        raise DataError(
            f"{where}, line {begins}: expected a line of CSV ({error}); "
            "look for a stray quotation mark on this line or above"
        ) from error


def list_in_tree(
    tree: Tree,
    found: Sequence[tuple[str, int]],
    *,
    name: str,
    protocol: str,
    labels: LabelSet,
    split: str,
    name_of: Callable[[str], str] = as_is,
) -> Dataset:
    """The data set of some images below one tree.

    Args:
        tree: where the images lie.
        found: member and label of each image.
        name: of the data set.
        protocol: as in ``Dataset``.
        labels: the classes.
        split: their split.
        name_of: from a member to ``Sample.name``.
    """
    members, indices = pack([member for member, _ in found]), [label for _, label in found]
    samples = SampleColumns(tree.where, members, indices, split, name_of=name_of)
    return Dataset(name, protocol, labels, samples, partial(read_from, tree))


def read_from(tree: Tree, sample: Sample) -> np.ndarray:
    """Pixels of a sample below a tree, uint8 RGB (H, W, 3), cut to its face box if it has one."""
    pixels = tree.read(sample.path[len(tree.where) + 1 :])
    if sample.box is None:
        return pixels
    left, top, width, height = sample.box
    face = pixels[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if not face.size:
        raise DataError(
            f"{sample.path}: expected a face box inside the image, found {left}, {top}, {width} x {height} "
            f"in {pixels.shape[1]} x {pixels.shape[0]} pixels; the label file belongs to other images"
        )
    return face


def images_by_name(
    tree: Tree, name_of: Callable[[str], str], wanted: Container[str], faults: Faults, *, mark: str = ""
) -> dict[str, str]:
    """From name to member of the images of a tree; of several of one name the least deep is taken.

    Args:
        tree: where they lie.
        name_of: from a member to its name.
        wanted: the names that a label goes with: images that share one of these are noted.
        faults: what to do about them.
        mark: images without it in their name are others where one with it has the same name.
    """
    found: dict[str, str] = {}
    members = sorted(filter(is_image, tree.names))
    marked = {name_of(member) for member in members if mark in member.rpartition("/")[2]}
    members = [m for m in members if mark in m.rpartition("/")[2] or name_of(m) not in marked]
    for member in sorted(members, key=lambda member: member.count("/")):
        name = name_of(member)
        if (first := found.setdefault(name, member)) != member and name in wanted:
            faults.add(f"{tree.where}/{member}: is {name}, as {first} is too; leave one")
    return found


def note_missing(where: str, missing: Sequence[str], listed: int, faults: Faults) -> None:
    """Notes images that a label file lists and that are not there: each, or all at once where it stops."""
    if missing and not faults.skip:
        faults.add(
            f"{where}: expected {listed:,} images that the labels list, {len(missing):,} of them are missing "
            f"(first {missing[0]}); the archive may be half unpacked: unpack it again",
            "missing",
            several=True,
        )
    for name in missing:
        faults.add(f"{where}/{name}: no such image, though the labels list it", "missing")


def note_twins(where: str, names: Sequence[tuple[int, str]], faults: Faults, *, unit: str = "line") -> None:
    """Notes names that a label file gives more than once.

    Args:
        where: the file.
        names: each with the number of its line, or of what else the file is counted in.
        faults: what to do about them.
        unit: what the numbers count.
    """
    if len({name for _, name in names}) == len(names):
        return
    seen: dict[str, int] = {}
    for number, name in names:
        if (first := seen.setdefault(name, number)) != number:
            faults.add(f"{where}, {unit} {number}: lists {name} twice, first in {unit} {first}; leave one")

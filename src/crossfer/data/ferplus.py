"""FER+ (FERPlus): the faces of FER2013 with the votes of ten annotators each.

Sources: Barsoum, Zhang, Canton Ferrer and Zhang, "Training Deep Networks for Facial Expression Recognition
with Crowd-Sourced Label Distribution", ICMI 2016; images from FER2013 (Goodfellow et al. 2013).

Layouts, found by what lies in the root:

* folders ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test`` with ``fer*.png`` and a ``label.csv`` without
  header, and ``fer2013new.csv`` beside them; each folder may be a zip of the same name instead;
* ``fer2013.csv`` (emotion, pixels, Usage) and ``fer2013new.csv``, whose lines belong together.

Two things in ``fer2013new.csv`` look like errors and are not. A row with an *empty image name* (173 of
35,887) is one for which the publishers wrote no image. A *name that comes twice* (three in the training
split, one in the test split) is one image: the publishers' script writes the pixels of the later row over
those of the earlier, so the later row is the one that describes the image, and the one that counts here, in
both layouts. That is why 25,060 training and 3,153 test rows pass the majority rule, but 25,057 and 3,152
images.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from crossfer.data.listing import csv_lines, is_image
from crossfer.data.sample import NO_LABEL, DataError, Dataset, Faults, ListingOptions, Sample
from crossfer.data.tree import FolderTree, Tree, ZipTree, open_tree, trees_to_try
from crossfer.labels import FERPLUS

HEADER = ("Usage", "Image name", *FERPLUS.expressions, "unknown", "NF")
PIXEL_HEADER = ("emotion", "pixels", "Usage")
USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
PIXEL_TABLE = "fer2013.csv"
FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
SIDE = 48


def list_ferplus(root: Path, options: ListingOptions, faults: Faults) -> Dataset:
    """Lists one split of FERPlus without reading an image.

    Protocols, on the ten vote columns (eight expressions, unknown, NF for "not a face"):

    * ``"majority"`` (the official one): votes of one are outliers and become 0; an image is kept if its
      highest vote is more than half of the sum that remains, and the winner is one of the eight expressions.
    * ``"argmax"``: an image is kept if the highest of its votes, as given, goes to one of the eight
      expressions. Of tied columns the first wins, so an expression that ties with unknown or NF keeps its
      image.

    A row without any vote is kept by neither. ``Sample.votes`` are, under both, the votes for the eight
    expressions after the outlier rule, normalised; where that rule leaves none (which argmax allows), those
    before it.

    Args:
        root: the folder that holds the data, in one of the layouts of this module, or a zip of it.
        options: of its fields, ``classes`` and ``numbered`` do not matter. FER2013's PublicTest is the split
            ``"valid"``, its PrivateTest ``"test"``; the label versions are ``fer2013new.csv`` and each
            folder's ``label.csv``.
        faults: what to do about bad rows and missing images.

    Returns:
        The kept images in table order, with FER+'s eight classes and a protocol such as
        ``"majority/fer2013new"``; ``read`` gives uint8 RGB (48, 48, 3) and may be called from several
        threads.

    Raises:
        DataError: if the root holds none of the layouts; for a row of the wrong width, an unknown usage, a
            vote that is not a whole number, or a kept image that is missing, naming file and line.
        ValueError: for an unknown split, protocol or label version.
    """
    split, protocol, labels = options.split, options.protocol, options.label_version
    _check_choice("split", split, FOLDERS)
    _check_choice("protocol", protocol, _LABELLERS)
    _check_choice("labels", labels, ("fer2013new", "label-csv"))
    tree = _find_root(root, split)
    images = _find_images(tree, split)
    rows = (
        _read_folder_labels(images, split, faults)
        if labels == "label-csv"
        else [row for row in _read_table(tree, faults) if row.split == split]
    )
    if isinstance(images, _PixelTable):
        images.index(rows, split, faults)

    samples = _samples(rows, images, _LABELLERS[protocol], faults, every=options.every)
    read = partial(_read, images)
    return Dataset("ferplus", f"{protocol}/{labels}", FERPLUS, samples, read)


def _read(images: _Images, sample: Sample) -> np.ndarray:
    return images.read(sample.name)


def _check_choice(option: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ValueError(f"unknown {option} {value!r} for ferplus; expected one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a label table; ``where`` names it in messages."""

    where: str
    line: int
    split: str
    image: str
    votes: tuple[int, ...]


def _majority(votes: Sequence[int]) -> int:
    """The winning column under the majority rule, or the last (not a face) where no column has a majority."""
    votes = _without_outliers(votes)
    highest = max(votes)
    return votes.index(highest) if 2 * highest > sum(votes) else len(votes) - 1


def _argmax(votes: Sequence[int]) -> int:
    """The first column with the highest vote, or the last (not a face) where there is no vote at all."""
    return votes.index(max(votes)) if any(votes) else len(votes) - 1


_LABELLERS: dict[str, Callable[[Sequence[int]], int]] = {"majority": _majority, "argmax": _argmax}


def _without_outliers(votes: Sequence[int]) -> tuple[int, ...]:
    return tuple(vote if vote > 1 else 0 for vote in votes)


def _shares(votes: Sequence[int]) -> tuple[float, ...]:
    """Share of each expression; there is at least one vote for one of them."""
    given = votes[: len(FERPLUS)]
    kept = _without_outliers(given)
    kept = kept if any(kept) else given
    return tuple(vote / sum(kept) for vote in kept)


def _samples(
    rows: Iterable[_Row],
    images: _Images,
    labeller: Callable[[Sequence[int]], int],
    faults: Faults,
    *,
    every: bool,
) -> tuple[Sample, ...]:
    samples = []
    described = {row.image: row for row in rows if row.image}  # the later row of a name replaces the earlier
    for row in described.values():
        label = labeller(row.votes)
        if label >= len(FERPLUS):
            if not every:
                continue
            label = NO_LABEL
        if row.image not in images.names:
            faults.add(f"{row.where}: no image {row.image!r} in {images.where}; unpack it again", "missing")
            continue
        shares = None if label == NO_LABEL else _shares(row.votes)
        samples.append(Sample(f"{images.where}/{row.image}", label, shares, row.split, name=row.image))
    stray = sorted(name for name in images.names if is_image(name) and name not in described)
    faults.unlisted += [f"{images.where}/{name}" for name in stray]
    return tuple(samples)


# ---- label tables ----


def _read_table(tree: Tree, faults: Faults) -> list[_Row]:
    """All rows of ``fer2013new.csv``."""
    path = f"{tree.where}/fer2013new.csv"
    if (data := tree.bytes_of("fer2013new.csv")) is None:
        raise DataError(
            f"{tree.where}: expected the label table fer2013new.csv, found {tree.listing()}; "
            "obtain it from the FER+ repository or use the labels 'label-csv'"
        )
    lines = csv_lines(io.StringIO(_text(data, path), newline=""), path)
    if (header := tuple(next(lines, (1, []))[1])) != HEADER:
        raise DataError(f"{path}, line 1: expected the header {','.join(HEADER)}, found {','.join(header)!r}")
    rows = []
    for line, cells in lines:
        where = f"{path}, line {line}"
        if (votes := _votes(cells, where, faults)) is None:
            continue
        if cells[0] not in USAGES:
            faults.add(f"{where}: expected a usage of {', '.join(USAGES)}, found {cells[0]!r}")
            continue
        rows.append(_Row(where, line, USAGES[cells[0]], cells[1], votes))
    return rows


def _read_folder_labels(images: _Images, split: str, faults: Faults) -> list[_Row]:
    """All rows of a folder's ``label.csv``: image name, box (the whole image throughout), votes."""
    path = f"{images.where}/label.csv"
    if (data := images.bytes_of("label.csv")) is None:
        raise DataError(f"{path}: no such file; use the labels 'fer2013new'")
    rows = []
    for line, cells in csv_lines(io.StringIO(_text(data, path), newline=""), path):
        where = f"{path}, line {line}"
        if (votes := _votes(cells, where, faults)) is not None:
            rows.append(_Row(where, line, split, cells[0], votes))
    return rows


def _text(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: expected UTF-8 text; obtain it again") from error


def _votes(cells: Sequence[str], where: str, faults: Faults) -> tuple[int, ...] | None:
    """The ten votes at the end of a row; None after a fault."""
    if len(cells) != len(HEADER):
        faults.add(f"{where}: expected {len(HEADER)} columns, found {len(cells)}")
        return None
    for column, cell in zip(HEADER[2:], cells[2:], strict=True):
        if not cell.strip().isdecimal():
            faults.add(f"{where}: expected a whole number of votes for {column}, found {cell!r}")
            return None
    return tuple(map(int, cells[2:]))


# ---- images ----


def _find_root(root: Path, split: str) -> Tree:
    """The tree that holds a split of FERPlus: the root itself or the one folder in it."""
    tree = open_tree(root, "FERPlus")
    for inner in trees_to_try(tree):
        if inner.branch(FOLDERS[split]) is not None or _has_pixel_table(inner):
            return inner
    if any(inner.has(PIXEL_TABLE) for inner in trees_to_try(tree)):
        raise DataError(
            f"{root}: expected {PIXEL_TABLE} as a file of its own, found it in a zip, where its lines cannot "
            "be sought by place; unpack the zip and name the folder"
        )
    raise DataError(
        f"{root}: expected FERPlus as a folder {FOLDERS[split]}, a file {FOLDERS[split]}.zip, or a file "
        f"fer2013.csv, found {tree.listing()}; name the folder that holds one of these"
    )


def _has_pixel_table(tree: Tree) -> bool:
    return isinstance(tree, FolderTree) and tree.has(PIXEL_TABLE)  # its lines are sought by place: no zip


def _find_images(tree: Tree, split: str) -> _Images:
    return tree.branch(FOLDERS[split]) or _PixelTable(Path(tree.where, PIXEL_TABLE))


class _PixelTable:
    """All images as lines of ``fer2013.csv``; only where each line starts is kept in memory."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.names: dict[str, tuple[int, int]] = {}  # line and byte offset of each image

    def index(self, rows: Sequence[_Row], split: str, faults: Faults) -> None:
        """Finds each row's pixels on the line of the same number, and that both tables have the same rows."""
        found = self._offsets(split)
        for row in rows:
            if row.line not in found:
                faults.add(f"{row.where}: no {split} row on this line of {self.where}")
            elif row.image:
                self.names[row.image] = (row.line, found[row.line])
        for line in sorted(found.keys() - {row.line for row in rows}):
            faults.add(f"{self.where}, line {line}: no {split} row on this line of the label table")

    def _offsets(self, split: str) -> dict[int, int]:
        """Where each line of a split starts."""
        with open(self.where, "rb") as file:
            header = tuple(cell.strip() for cell in file.readline().decode("utf-8-sig", "replace").split(","))
            if header != PIXEL_HEADER:
                raise DataError(
                    f"{self.where}, line 1: expected the header {','.join(PIXEL_HEADER)}, "
                    f"found {','.join(header)[:80]!r}"
                )
            offsets, start = {}, file.tell()
            for number, line in enumerate(file, start=2):
                if USAGES.get(line.rpartition(b",")[2].strip().decode("utf-8", "replace")) == split:
                    offsets[number] = start
                start += len(line)
        return offsets

    def bytes_of(self, name: str) -> bytes | None:
        """None: this layout has no files beside the two tables."""
        return None

    def read(self, name: str) -> np.ndarray:
        """Pixels, uint8 RGB (48, 48, 3)."""
        line, start = self.names[name]
        with open(self.where, "rb") as file:
            file.seek(start)
            cells = file.readline().split(b",")
        try:
            grey = np.frombuffer(bytes(map(int, cells[1].strip(b'"').split())), np.uint8).reshape(SIDE, SIDE)
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{self.where}, line {line}: expected {SIDE * SIDE} grey values of 0 to 255, {error}"
            ) from error
        return np.repeat(grey[:, :, None], 3, axis=2)


_Images = FolderTree | ZipTree | _PixelTable

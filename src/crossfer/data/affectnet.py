"""AffectNet: 290,000 manually labelled faces from the web, with one of eight expressions.

Source: Mollahosseini, Hasani and Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal
Computing in the Wild", IEEE TAC 2017.

Layouts, found by what lies in the root:

* the older one: ``Manually_Annotated_file_lists/training.csv`` (with a header) and ``validation.csv``
  (without one), whose columns are subDirectory_filePath, face_x, face_y, face_width, face_height,
  facial_landmarks, expression, valence and arousal; images in
  ``Manually_Annotated_Images/<number>/<name>``, from which
  ``Dataset.read`` cuts the face box. Where most boxes do not fit the images, these have been cut to the face
  already: they are taken whole, and the protocol says so.
* the newer one: ``train_set`` and ``val_set`` with ``images/N.jpg`` and ``annotations/N_exp.npy``.

Labels: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt; 8 none,
9 uncertain and 10 no face are left out, as is contempt in the set of seven classes. The test part was never
published: the validation part is ``"test"`` here, and the protocol says so. A validation split is cut from
train (``crossfer data split``).

The set is too large to be listed afresh each time: its index is kept (``crossfer.data.cache``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from crossfer.data.cache import cached
from crossfer.data.columns import SampleColumns, pack
from crossfer.data.listing import csv_lines, images_by_name, note_missing, note_twins, read_from
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.tree import Tree, open_tree, trees_to_try
from crossfer.labels import AFFECTNET8, LabelSet

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
CODES = 11  # eight expressions, none, uncertain, no face
LISTS = {"train": "training.csv", "test": "validation.csv"}
LIST_FOLDERS = ("Manually_Annotated_file_lists/", "")
IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_compressed",
    "Manually_Annotated",
)
PARTS = {"train": "train_set", "test": "val_set"}
PROBES = 32  # images looked at to learn whether the boxes belong to them


@dataclass(frozen=True)
class _Layout:
    """Where a split lies: its images, and the label list in the older layout."""

    images: Tree
    source: Tree
    list_path: str | None = None


def list_affectnet(root: Path, options: ListingOptions, faults: Faults, *, labels: LabelSet) -> Dataset:
    """Lists ``"train"`` or ``"test"`` (the official validation part) of AffectNet without decoding an image.

    Args:
        root: the folder or zip.
        options: only the split matters.
        faults: what to do about bad rows, missing images, images of one name and labels without an image.
        labels: all eight classes, or those without contempt.

    Raises:
        DataError: if the root holds neither layout.
    """
    split = options.split
    layout = _find(root, split)
    index = cached(
        f"affectnet {Path(root).absolute()} {split}",
        _state(layout),
        lambda: _index(layout, faults),
        keep=lambda: not (faults.found or faults.unlisted),  # they are told each time
    )
    kept = np.flatnonzero(index["labels"] < len(labels))
    columns = SampleColumns(
        layout.images.where,
        (index["text"], index["ends"]),
        index["labels"],
        split,
        boxes=index["boxes"] if len(index["boxes"]) else None,
    ).take(kept)
    protocol = f"{len(labels)} classes, official validation part as test"
    if columns.boxes is not None and not _boxes_fit(layout.images, columns):
        columns.boxes = None
        protocol += ", images cut to the face already"
    read = partial(read_from, layout.images)
    return Dataset(labels.name, protocol, labels, columns, read)


def _find(root: Path, split: str) -> _Layout:
    outer = open_tree(root, "AffectNet")
    for tree in trees_to_try(outer):
        if (part := tree.branch(PARTS[split])) is not None and (images := part.branch("images")) is not None:
            return _Layout(images, part)
        for path in (f"{folder}{LISTS[split]}" for folder in LIST_FOLDERS):
            if tree.has(path):
                return _Layout(_find_images(tree), tree, path)
    raise DataError(
        f"{root}: expected AffectNet as Manually_Annotated_file_lists/{LISTS[split]} with "
        f"Manually_Annotated_Images, or as {PARTS[split]}/images and {PARTS[split]}/annotations, found "
        f"{outer.listing()}; name the folder that holds one of these"
    )


def _find_images(tree: Tree) -> Tree:
    for folder in IMAGE_FOLDERS:
        if (images := tree.branch(folder)) is not None:
            return images
    raise DataError(
        f"{tree.where}: expected the images in a folder {IMAGE_FOLDERS[0]}, found {tree.listing()}; "
        "unpack them there"
    )


def _state(layout: _Layout) -> Iterator[str]:
    """What the index follows from: the names of all images, and the labels' files with their times."""
    yield layout.images.where
    yield from sorted(layout.images.names)
    if layout.list_path is not None:
        yield layout.source.state_of(layout.list_path)
    elif (annotations := layout.source.branch("annotations")) is not None:
        yield from annotations.state()


def _index(layout: _Layout, faults: Faults) -> dict[str, np.ndarray]:
    """Members, labels and boxes of the images with one of the eight expressions, sorted by member."""
    if layout.list_path is None:
        rows = sorted(_from_annotations(layout, faults))
    else:
        rows = sorted(_from_list(layout, faults))
        used = {row.member for row in rows if row.label < len(AFFECTNET8)}
        names = [(row.line, row.member) for row in rows if row.member in used]
        note_twins(f"{layout.source.where}/{layout.list_path}", names, faults)
        rows = [row for row in _without_twins(rows) if row.label < len(AFFECTNET8)]
    there = layout.images.names
    missing = [row.member for row in rows if row.member not in there]
    note_missing(layout.images.where, missing, len(rows), faults)
    rows = [row for row in rows if row.member in there]
    text, ends = pack([row.member for row in rows])
    boxes = np.array([row.box for row in rows], np.int32).reshape(len(rows), -1)
    labels = np.array([row.label for row in rows], np.int8)
    return {"text": text, "ends": ends, "labels": labels, "boxes": boxes if boxes.shape[1] else boxes[:0]}


@dataclass(frozen=True, slots=True, order=True)
class _Row:
    """An image of a label list, by its line; of one with a label of its own the line is 0."""

    member: str
    line: int
    label: int
    box: tuple[int, ...] = ()


def _without_twins(rows: Sequence[_Row]) -> list[_Row]:
    """Of rows sorted by member and line the first of each member."""
    return [row for i, row in enumerate(rows) if not i or rows[i - 1].member != row.member]


# ---- the older layout ----


def _from_list(layout: _Layout, faults: Faults) -> Iterator[_Row]:
    """Every row that can be read, whatever it shows."""
    path = f"{layout.source.where}/{layout.list_path}"
    data = layout.source.bytes_of(layout.list_path or "") or b""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline="")
    for number, cells in csv_lines(text, path):
        if number == 1 and cells[:1] == [COLUMNS[0]]:
            if tuple(cells) != COLUMNS:
                raise DataError(
                    f"{path}, line 1: expected the header {','.join(COLUMNS)}, "
                    f"found {','.join(cells)[:200]!r}"
                )
            continue
        try:
            yield _list_row(number, cells)
        except ValueError as error:
            faults.add(f"{path}, line {number}: {error}")


def _list_row(line: int, cells: Sequence[str]) -> _Row:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} columns, found {len(cells)}")
    code = cells[6].strip()
    if not code.isdecimal() or int(code) >= CODES:
        raise ValueError(f"expected an expression of 0 to {CODES - 1}, found {code!r}")
    try:
        box = tuple(round(float(cell)) for cell in cells[1:5])
    except (ValueError, OverflowError):
        raise ValueError(f"expected a face box in pixels, found {','.join(cells[1:5])!r}") from None
    if max(map(abs, box)) >= 2**31:
        raise ValueError(f"expected a face box in pixels, found {','.join(cells[1:5])!r}")
    return _Row(cells[0].replace("\\", "/"), line, int(code), box)


def _boxes_fit(images: Tree, samples: SampleColumns) -> bool:
    """Whether most of some face boxes lie in their images, all but a tenth; unreadable ones do not count."""
    inside = []
    for row in range(0, len(samples), max(1, len(samples) // PROBES)):
        sample = samples[row]
        try:
            height, width = images.read(sample.path[len(images.where) + 1 :]).shape[:2]
        except DataError:
            continue
        left, top, w, h = sample.box or (0, 0, width, height)
        wide, high = min(left + w, width) - max(left, 0), min(top + h, height) - max(top, 0)
        inside.append(max(wide, 0) * max(high, 0) >= 0.9 * w * h)
    return 2 * sum(inside) >= len(inside)


# ---- the newer layout ----


def _from_annotations(layout: _Layout, faults: Faults) -> Iterator[_Row]:
    annotations = layout.source.branch("annotations")
    if annotations is None:
        raise DataError(
            f"{layout.source.where}: expected a folder annotations beside images, found "
            f"{layout.source.listing()}; unpack it again"
        )
    labelled = {name[: -len("_exp.npy")] for name in annotations.names if name.endswith("_exp.npy")}
    codes = {}
    for stem in sorted(labelled):
        try:
            code = _read_code(annotations.bytes_of(f"{stem}_exp.npy") or b"")
        except ValueError as error:
            faults.add(f"{annotations.where}/{stem}_exp.npy: {error}; obtain it again")
            continue
        if code < len(AFFECTNET8):
            codes[stem] = code
    images = images_by_name(layout.images, lambda name: PurePosixPath(name).stem, codes, faults)
    stray = sorted(images[stem] for stem in images.keys() - labelled)
    faults.unlisted += [f"{layout.images.where}/{name}" for name in stray]
    yield from (_Row(images.get(stem, f"{stem}.jpg"), 0, code) for stem, code in codes.items())


def _read_code(data: bytes) -> int:
    """The expression in the bytes of an ``_exp.npy``: one number, stored as text or as a number."""
    try:
        text = str(np.load(io.BytesIO(data), allow_pickle=False).reshape(-1)[0])
        code = int(float(text))
    except Exception as error:  # NumPy raises nearly anything when a header lies
        raise ValueError(f"expected one expression as NumPy array ({error})") from error
    if not 0 <= code < CODES:
        raise ValueError(f"expected an expression of 0 to {CODES - 1}, found {text[:20]!r}")
    return code

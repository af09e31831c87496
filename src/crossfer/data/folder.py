"""Any images sorted into one folder per class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossfer.data.decode import SUFFIXES, decode_image
from crossfer.data.sample import DataError, Dataset, Faults, Sample, keep_readable
from crossfer.labels import LabelSet

# What operating systems leave in folders that people look at; names that begin with a dot are ignored too.
LITTER = frozenset({"thumbs.db", "desktop.ini"})


def load_folder(
    root: str | Path, labels: LabelSet, *, split: str = "test", skip_bad: bool = False
) -> Dataset:
    """Lists the images below a folder whose subfolders are named after expressions.

    The name of each subfolder is matched without regard to case and with common synonyms (``Happy`` is
    happiness); not every class needs one. Images may lie deeper inside a class's folder. Files beside the
    class folders are ignored; inside them, whatever is no image counts as bad.

    Args:
        root: the folder that holds the class folders.
        labels: the classes to expect; ``Sample.label`` is an index into them.
        split: what to call these images; it chooses nothing.
        skip_bad: leave out unknown class folders and files that are no image or cannot be decoded, and report
            them in ``Dataset.skipped``, instead of raising; every image is decoded once to know.

    Returns:
        The images, sorted by path; ``read`` gives upright uint8 RGB (H, W, 3).

    Raises:
        DataError: if the root is no folder or holds no images by class, a class folder has an unknown name,
            or a file in one has no image's suffix.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder with a folder per class, found {_kind(root)}")
    faults = Faults(skip_bad)
    samples = [
        Sample(str(path), label, split=split)
        for folder, label in _class_folders(root, labels, faults)
        for path in _images(folder, faults)
    ]
    if skip_bad:
        samples = keep_readable(samples, _read, faults)
    if not samples:
        raise DataError(
            f"{root}: expected images in folders named {', '.join(labels.expressions)}, found no such image; "
            "name the folder that holds the class folders"
        )
    return Dataset("folder", "folder per class", labels, tuple(samples), _read, tuple(faults.messages))


def _kind(path: Path) -> str:
    return "a file" if path.exists() else "nothing"


def _class_folders(root: Path, labels: LabelSet, faults: Faults) -> Iterator[tuple[Path, int]]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            label = labels.index(folder.name)
        except ValueError as error:
            faults.add(f"{folder}: {error}")
        else:
            yield folder, label


def _images(folder: Path, faults: Faults) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_dir() or hidden or path.name.lower() in LITTER:
            continue
        if path.suffix.lower() in SUFFIXES:
            yield path
        else:
            faults.add(f"{path}: expected an image ({', '.join(sorted(SUFFIXES))}), found another file")


def _read(sample: Sample) -> np.ndarray:
    try:
        data = Path(sample.path).read_bytes()
    except OSError as error:
        raise DataError(f"{sample.path}: cannot be read ({error.strerror}); check the file") from error
    return decode_image(data, sample.path)

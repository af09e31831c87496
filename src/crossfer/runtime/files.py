"""Which images a list of paths means, and where their annotated copies go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from crossfer.runtime.image import SUFFIXES


def find_images(paths: Iterable[Path]) -> Iterator[Path]:
    """The files to read: named files as they are, folders searched to the bottom in sorted order.

    In a folder only files with an image's suffix count, and none whose name starts with a dot. A path that
    does not exist, and a folder without any image, comes out as it is, so that reading it tells what is
    wrong.
    """
    for path in paths:
        if os.path.isdir(path):  # unlike Path.is_dir, False where access is denied
            found = list(_images_in(path))
            yield from found or [path]
        else:
            yield path


def _images_in(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(parent) / name


def annotated_paths(images: Sequence[Path], folder: Path) -> list[Path]:
    """A distinct PNG path in ``folder`` for each image: its stem, with a number where a name is taken.

    Names that differ only in case count as equal, as they are on some file systems, and none is that of an
    image given.

    >>> [path.name for path in annotated_paths([Path("a/x.jpg"), Path("b/x.jpg")], Path("out"))]
    ['x.png', 'x-2.png']
    """
    taken = {_key(image) for image in images}
    chosen = []
    for image in images:
        path, number = folder / f"{image.stem}.png", 1
        while _key(path) in taken:
            number += 1
            path = folder / f"{image.stem}-{number}.png"
        taken.add(_key(path))
        chosen.append(path)
    return chosen


def _key(path: Path) -> str:
    return str(path.absolute()).lower()

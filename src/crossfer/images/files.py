"""Which images a list of paths means, and where their annotated copies go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from PIL import Image

from crossfer.figure import ANNOTATED, FIGURE, SOFTWARE
from crossfer.images.read import SUFFIXES

OTHER_PICTURES = frozenset(
    {
        ".heic",
        ".heif",
        ".avif",
        ".gif",
        ".jp2",
        ".jxl",
        ".psd",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
    }
)


def find_images(paths: Iterable[Path], passed_over: list[Path] | None = None) -> Iterator[Path]:
    """The files to read: named files as they are, folders searched to the bottom in sorted order.

    In a folder only files with an image's suffix count, no drawing of ours, and nothing whose name starts
    with a dot, files and folders alike. A path that does not exist, a folder without any image, and one that
    cannot be looked into comes out as it is, so that reading it tells what is wrong.

    Args:
        paths: files and folders.
        passed_over: is given what a folder holds that people take for images but that is not read: pictures
            in other formats, drawings of ours, and links to folders.
    """
    others = [] if passed_over is None else passed_over
    for path in paths:
        if os.path.isdir(path):  # unlike Path.is_dir, False where access is denied
            yield from list(_images_in(path, others)) or [path]
        else:
            yield path


def _images_in(folder: Path, passed_over: list[Path]) -> Iterator[Path]:
    closed: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda e: closed.append(Path(str(e.filename)))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        passed_over += [Path(parent) / name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            path = Path(parent) / name
            if suffix in OTHER_PICTURES or (suffix == ".png" and drawn_as(path)):
                passed_over.append(path)
            elif suffix in SUFFIXES:
                yield path
    yield from closed


def passed_over_in_words(passed_over: Sequence[Path]) -> str:
    """What was passed over, counted by kind, in a sentence; empty for nothing.

    >>> passed_over_in_words([Path("a.heic"), Path("b.HEIC"), Path("c.gif")])
    '3 files not looked at (.heic 2, .gif 1): convert them to JPEG or PNG'
    """
    links = [path for path in passed_over if path.is_dir()]
    linked = set(links)
    suffixes = Counter(path.suffix.lower() for path in passed_over if path not in linked)
    drawings = suffixes.pop(".png", 0)
    kinds = suffixes.most_common()
    parts = []
    if kinds:
        total = sum(number for _, number in kinds)
        what = ", ".join(f"{kind} {number:,}" for kind, number in kinds)
        parts.append(f"{total:,} file{'s' * (total > 1)} not looked at ({what}): convert them to JPEG or PNG")
    if drawings:
        parts.append(f"{drawings:,} drawing{'s' * (drawings > 1)} by crossfer not looked at")
    if links:
        more = f" and {len(links) - 1:,} more" if len(links) > 1 else ""
        parts.append(f"links to folders are not followed ({links[0]}{more}): name what they lead to")
    return "; ".join(parts)


def annotated_paths(images: Sequence[Path], folder: Path) -> list[Path]:
    """A distinct PNG path in ``folder`` for each image: its stem, with a number where a name is taken.

    Names that differ only in case count as equal, as they are on some file systems. None is that of an image
    given, or of a file that is there already, unless that is a drawing of ours.

    >>> [path.name for path in annotated_paths([Path("a/x.jpg"), Path("b/x.jpg")], Path("out"))]
    ['x.png', 'x-2.png']
    """
    taken = {_key(image) for image in images}
    left = {stem: _numbered(folder, stem) for stem in {image.stem for image in images}}
    chosen = []
    for image in images:
        path = next(path for path in left[image.stem] if _key(path) not in taken and _ours_or_new(path))
        taken.add(_key(path))
        chosen.append(path)
    return chosen


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.png"
    for number in count(2):
        yield folder / f"{stem}-{number}.png"


def _ours_or_new(path: Path) -> bool:
    return not os.path.lexists(path) or drawn_as(path) == ANNOTATED


def drawn_as(path: Path) -> str | None:
    """As which drawing by crossfer a file is known, ``ANNOTATED`` or ``FIGURE``; None if as none."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return next((kind for kind in (ANNOTATED, FIGURE) if image.info.get(SOFTWARE) == kind), None)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _key(path: Path) -> str:
    return str(path.absolute()).lower()

"""``crossfer data crop``: photos in, the faces in them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.options import DetectorSide, MinFaceScore
from crossfer.cli.output import remark
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE
from crossfer.printable import counted


def crop(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, sorted into folders as they may be.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write to; new, or empty.", file_okay=False)
    ],
    model: Annotated[
        str, typer.Option(help="The model that says how faces are framed: embedded by name, or a file.")
    ] = "default",
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
) -> None:
    """Cut the largest face out of every photo, as a model will see it; folders stay as they are.

    What comes out is a set to learn from: crossfer train recipes/finetune.toml --root OUTPUT. Photos without
    a face, files that cannot be read, and folders without any face left are named on stderr.
    """
    from crossfer.console import counting, say, stderr_console
    from crossfer.images.files import OTHER_PICTURES, find_images, passed_over_in_words
    from crossfer.runtime.bundle import read_bundle
    from crossfer.runtime.centerface import CenterFace
    from crossfer.runtime.crops import crop_photos

    _need_folders(photos, output)
    passed_over: list[Path] = []
    found = [path for path in find_images([photos], passed_over) if path != photos]
    if passed_over:
        remark(passed_over_in_words(passed_over))
    if not found:
        raise ValueError(f"{photos}: expected photos in it, found none")
    console = stderr_console()
    cut = Counter[Path]()  # faces by folder
    with counting(console, "cutting", len(found)) as advance:
        detector = CenterFace(min_score=min_face_score, long_side=detector_side)
        geometry = read_bundle(model).meta.input.crop
        for photo, reason in crop_photos(found, photos, output, detector, geometry):
            advance(1)
            cut[photo.parent] += not reason
            if reason:
                say(console, f"left out: {reason}")
    others = [path for path in passed_over if path.suffix.lower() in OTHER_PICTURES]
    for line in _emptied(photos, [*others, *found], cut):
        remark(line)
    typer.echo(f"{output}: {counted(cut.total(), 'face')} from {counted(len(found), 'photo')}")
    if not cut.total():
        raise typer.Exit(1)


def _need_folders(photos: Path, output: Path) -> None:
    """Refuse what is no folder of photos, and one for faces that is not empty or lies among the photos."""
    if not photos.is_dir():
        raise ValueError(
            f"{photos}: expected a folder of photos, found {'a file' if photos.exists() else 'none'}"
        )
    if output.is_dir() and any(output.iterdir()):
        raise ValueError(f"--output {output}: expected a new or an empty folder, found files in it")
    if output.resolve().is_relative_to(photos.resolve()):
        raise ValueError(f"--output {output}: lies in {photos}, whose photos are read; name another folder")


def _emptied(root: Path, pictures: Iterable[Path], cut: Counter[Path]) -> Iterator[str]:
    """A line for each folder below ``root`` with pictures of which no face was cut."""
    for folder, count in Counter(path.parent for path in pictures).items():
        if folder != root and not cut[folder]:
            yield f"folder {folder.relative_to(root)}: no face left in {counted(count, 'photo')}"

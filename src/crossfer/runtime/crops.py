"""Faces cut out of photos, in the frame that a model expects: what to train on, from what people have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from errno import ENAMETOOLONG
from io import BytesIO
from pathlib import Path

from PIL import Image

from crossfer.images.read import load_image
from crossfer.printable import one_line
from crossfer.runtime.align import CropGeometry, crop_face
from crossfer.runtime.detection import Detector
from crossfer.system.atomic import write_atomically


def crop_photos(
    photos: Sequence[Path], source: Path, output: Path, detector: Detector, geometry: CropGeometry
) -> Iterator[tuple[Path, str]]:
    """Cut the largest face out of each of the photos below a folder; the folders below it stay as they are.

    Each face becomes a PNG named after its photo, suffix included, so that no two photos meet.

    Args:
        photos: the files, as ``find_images`` finds them in the folder.
        source: the folder.
        output: a folder to write to, not below ``source``.
        detector: finds the faces.
        geometry: the frame.

    Yields:
        Each photo, and in one line why nothing was cut from it; an empty text where a face was.
    """
    for photo in photos:
        try:
            image = load_image(photo)
            faces = detector.detect(image)
        except (ValueError, OSError, MemoryError) as error:
            yield photo, one_line(error, photo)
            continue
        if not faces:
            yield photo, f"{photo}: no face found"
            continue
        largest = max(faces, key=lambda face: face.box.area)
        place = output / photo.relative_to(source)
        buffer = BytesIO()
        Image.fromarray(crop_face(image, largest, geometry)).save(buffer, "PNG")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place.with_name(f"{place.name}.png"), buffer.getvalue())
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            yield photo, f"{photo}: a folder has the name of a photo with .png added; rename one"
            continue
        except OSError as error:
            if error.errno != ENAMETOOLONG:
                raise
            yield photo, f"{photo}: its name is too long to add .png to; shorten it"
            continue
        yield photo, ""

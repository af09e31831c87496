"""Faces cut out of photos, in the frame that a model expects: what to train on, from what people have."""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENAMETOOLONG
from io import BytesIO
from pathlib import Path

from PIL import Image

from crossfer.images.files import find_images
from crossfer.images.read import load_image
from crossfer.runtime.align import CropGeometry, crop_face
from crossfer.runtime.detection import Detector
from crossfer.system.atomic import write_atomically


def crop_photos(
    source: Path, output: Path, detector: Detector, geometry: CropGeometry
) -> Iterator[tuple[Path, str]]:
    """Cut the largest face out of every photo below a folder; the folders below it stay as they are.

    Each face becomes a PNG named after its photo, suffix included, so that no two photos meet.

    Args:
        source: the folder; photos are found by their suffix.
        output: a folder to write to, not below ``source``.
        detector: finds the faces.
        geometry: the frame.

    Yields:
        Each photo, and why nothing was cut from it; an empty text where a face was.
    """
    for photo in find_images([source]):
        try:
            image = load_image(photo)
        except (ValueError, OSError, MemoryError) as error:
            yield photo, str(error)
            continue
        faces = detector.detect(image)
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

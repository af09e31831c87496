"""The picture that is measured with: the user's, or one that comes with the install."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from crossfer.images.read import ImageError, load_image, scaled
from crossfer.runtime.align import CropGeometry, crop_face
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.detection import Detection

LONG_SIDES = (640, 1920)
FACE_SIDE = 48
QUALITY = 90
PORTRAIT = "the portrait that scikit-image carries, cut to 4:3"


@dataclass(frozen=True)
class Photo:
    """A picture at one size.

    Attributes:
        pixels: uint8 RGB, shape (H, W, 3), as the JPEG file gives them.
        jpeg: the file.
        faces: found in it by the detector, largest first.
    """

    pixels: np.ndarray = field(repr=False, compare=False)
    jpeg: bytes = field(repr=False)
    faces: tuple[Detection, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Photos:
    """A picture at the sizes of ``LONG_SIDES``.

    Attributes:
        name: what it is.
        original: its own width and height in pixels.
        sizes: smallest first; a face is found in each.
    """

    name: str
    original: tuple[int, int]
    sizes: tuple[Photo, ...]

    def face(self, geometry: CropGeometry) -> np.ndarray:
        """The largest face, as a data set would hold it: uint8 RGB, shape (48, 48, 3)."""
        photo = self.sizes[0]
        face = Image.fromarray(crop_face(photo.pixels, photo.faces[0], geometry))
        return np.asarray(face.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BILINEAR))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sizes = [{"size": list(photo.size), "faces": len(photo.faces)} for photo in self.sizes]
        return {"name": self.name, "original": list(self.original), "sizes": sizes}


def open_photo(path: Path | None) -> Photos:
    """Reads a picture and scales it to each of ``LONG_SIDES``, up or down.

    Args:
        path: the user's; None for the one that comes with the install.

    Raises:
        ImageError: if it cannot be read, or has no face that the detector finds.
    """
    if path is None:
        pixels = load_image(sample_portrait())
        pixels = pixels[: 3 * pixels.shape[1] // 4]  # cameras make no squares
    else:
        pixels = load_image(path)
    detector = CenterFace()
    sizes = tuple(_scaled(pixels, side, detector) for side in LONG_SIDES)
    for photo in sizes:
        if not photo.faces:
            raise ImageError(
                f"{path or PORTRAIT}: expected a photo with a face, found none at "
                f"{' x '.join(map(str, photo.size))} pixels; name a photo in which crossfer predict finds one"
            )
    return Photos(PORTRAIT if path is None else path.name, (pixels.shape[1], pixels.shape[0]), sizes)


def sample_portrait() -> Path:
    """The picture of one person that scikit-image carries, which the detector's package brings along.

    Raises:
        ImageError: if it is not there.
    """
    spec = find_spec("skimage")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise ImageError("expected a portrait in the package scikit-image, found none; name a PHOTO with a face")


def _scaled(pixels: np.ndarray, long_side: int, detector: CenterFace) -> Photo:
    zoom = long_side / max(pixels.shape[:2])
    image = Image.fromarray(pixels)
    image = image.resize(scaled(image.size, zoom), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    jpeg = buffer.getvalue()
    decoded = load_image(jpeg)
    faces = sorted(detector.detect(decoded), key=lambda face: face.box.area, reverse=True)
    return Photo(decoded, jpeg, tuple(faces))

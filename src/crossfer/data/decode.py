"""From the bytes of an image file to upright RGB pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from crossfer.data.sample import DataError

MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decodes an image as the runtime does.

    EXIF orientation is applied, transparency goes over white, 16-bit grey is scaled to 8 bit over its range.

    Args:
        data: the bytes of an image file.
        name: what error messages call it.

    Returns:
        uint8 RGB, shape (H, W, 3).

    Raises:
        DataError: if the bytes are no whole image, or one of more than ``MAX_PIXELS`` pixels.
    """
    if not data:
        raise DataError(f"{name}: expected an image, found an empty file; obtain it again")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
            return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except Exception as error:  # decoders raise nearly anything when the data is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name}: expected a whole image, found one that cannot be decoded ({reason}); obtain it again"
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")

"""Small files that take long to decode, told from their bytes before a decoder sees them."""

from __future__ import annotations

from crossfer.images.cost import bmp, jpeg, png, tiff
from crossfer.images.read import ImageError


def check_cost(data: bytes, name: str) -> None:
    """Refuses what would take far longer to decode than its size and pixels say.

    Args:
        data: the content of an image file; what it claims to be is not believed, only looked for.
        name: what the error calls it.

    Raises:
        ImageError: if it is such a file; the message says what there is too much of.
    """
    for fault in (jpeg.fault, png.fault, tiff.fault, bmp.fault):
        if (text := fault(data)) is not None:
            raise ImageError(f"{name}: {text}")

"""The runtime's own image decoding, for data sets: what is learnt from looks as it does in use."""

from __future__ import annotations

import numpy as np

from crossfer.data.sample import DataError
from crossfer.runtime.image import SUFFIXES, ImageError, decode

__all__ = ["SUFFIXES", "decode_image"]


def decode_image(data: bytes, name: str) -> np.ndarray:
    """The bytes of an image file as upright uint8 RGB pixels, (H, W, 3).

    Raises:
        DataError: if they are no image that the runtime would take; ``name`` is what the message calls it.
    """
    try:
        return decode(data, name)
    except ImageError as error:
        raise DataError(str(error)) from error

"""The one pre-processing that training and every runtime share: from a face crop to the model's input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from crossfer.runtime.align import CropGeometry

CHANNELS = {"gray": 1, "rgb": 3}
_PILLOW_MODE = {"gray": "L", "rgb": "RGB"}
LUMA = np.array([19595, 38470, 7471], np.uint32)  # 0.299, 0.587, 0.114 in 1 / 65536, as Pillow has them
Images = TypeVar("Images")


@dataclass(frozen=True)
class InputContract:
    """What a model expects to be fed; it travels inside the bundle.

    Attributes:
        size: side of the square input in pixels.
        color: ``"gray"`` (one channel, ITU-R 601 luma) or ``"rgb"``.
        mean: subtracted after scaling to 0..1.
        std: divided by after that.
        crop: how a face is cut out of a photo.
    """

    size: int = 48
    color: str = "gray"
    mean: float = 0.5
    std: float = 0.25
    crop: CropGeometry = field(default_factory=CropGeometry)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise ValueError(f"input size: expected a whole number of pixels in 1..4096, got {self.size}")
        if self.color not in CHANNELS:
            raise ValueError(f"input color: expected one of {', '.join(CHANNELS)}, got {self.color!r}")
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(
                f"input mean and std: expected numbers, std above 0, got {self.mean} and {self.std}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, S, S) of one input."""
        return CHANNELS[self.color], self.size, self.size


def resize_crop(crop: np.ndarray, contract: InputContract) -> np.ndarray:
    """Brings a crop to a contract's colour and size, still in whole grey levels.

    Grey first, then an antialiased bilinear resize. A crop that is already grey and of the right size stays
    as it is. One of the right size does not pass through Pillow, which gives the same levels but takes longer
    over a small face than all the rest of this.

    Args:
        crop: uint8 RGB, shape (H, W, 3).
        contract: what the model expects.

    Returns:
        uint8, shape (C, S, S), not a view of the crop.
    """
    size = (contract.size, contract.size)
    if crop.shape[:2] == size:
        pixels = _luma(crop) if contract.color == "gray" else crop.copy()
    else:
        image = Image.fromarray(crop).convert(_PILLOW_MODE[contract.color])
        pixels = np.array(image.resize(size, Image.Resampling.BILINEAR))
    return pixels.reshape(*size, -1).transpose(2, 0, 1)


def _luma(crop: np.ndarray) -> np.ndarray:
    """Grey levels (H, W) of uint8 RGB by ITU-R 601, in whole numbers and rounded as by Pillow."""
    return ((crop @ LUMA + 0x8000) >> 16).astype(np.uint8)


def standardize(images: Images, contract: InputContract) -> Images:
    """``(images - mean) / std`` for images in 0..1: a NumPy array or a torch tensor of any shape."""
    values: Any = images
    return (values - contract.mean) / contract.std


def normalize(pixels: np.ndarray, contract: InputContract) -> np.ndarray:
    """``(pixels / 255 - mean) / std`` as float32 for uint8 pixels of any shape.

    >>> normalize(np.array([0, 255], np.uint8), InputContract()).tolist()
    [-2.0, 2.0]
    """
    return standardize(pixels.astype(np.float32) / 255.0, contract)


def preprocess(crops: Sequence[np.ndarray], contract: InputContract) -> np.ndarray:
    """The model's input for face crops.

    Args:
        crops: uint8 RGB arrays of shape (H, W, 3), of any sizes.
        contract: what the model expects.

    Returns:
        float32, shape (B, C, S, S).
    """
    if not crops:
        return np.empty((0, *contract.shape), np.float32)
    return normalize(np.stack([resize_crop(crop, contract) for crop in crops]), contract)

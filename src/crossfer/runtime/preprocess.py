"""The one pre-processing that training and every runtime share: from a face crop to the model's input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 1 <= self.size <= 4096:
            raise ValueError(f"input size: expected a whole number of pixels in 1..4096, got {self.size!r}")
        if not isinstance(self.color, str) or self.color not in CHANNELS:
            raise ValueError(f"input color: expected one of {', '.join(CHANNELS)}, got {self.color!r}")
        if not all(_is_number(value) for value in (self.mean, self.std)) or self.std <= 0:
            raise ValueError(
                f"input mean and std: expected numbers, std above 0, got {self.mean!r} and {self.std!r}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, S, S) of one input."""
        return CHANNELS[self.color], self.size, self.size

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "size": self.size,
            "color": self.color,
            "mean": self.mean,
            "std": self.std,
            "crop": self.crop.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputContract:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: if a key is missing or not known, or a value is out of range; the message names it.
        """
        expected = ("size", "color", "mean", "std", "crop")
        missing = [key for key in expected if key not in values]
        unknown = [key for key in values if key not in expected]
        if missing or unknown:
            raise ValueError(f"input contract: missing keys {missing}, unknown keys {unknown}")
        if not isinstance(values["crop"], Mapping):
            raise ValueError(f"input contract: expected an object for 'crop', got {values['crop']!r}")
        return cls(
            size=values["size"],
            color=values["color"],
            mean=values["mean"],
            std=values["std"],
            crop=CropGeometry.from_dict(values["crop"]),
        )


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

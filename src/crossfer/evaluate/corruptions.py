"""Seven ways in which images get worse, each at five strengths.

In the manner of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, with strengths of our own: lengths are shares of the image's shorter side, so that
a face of 48 pixels and one of 224 lose about the same.

| kind | what it does | strengths 1 to 5 |
| --- | --- | --- |
| blur | Gaussian blur, standard deviation as a share of the side | 0.01, 0.02, 0.03, 0.045, 0.06 |
| noise | Gaussian noise, the same in all channels, standard deviation of 255 | 0.04, 0.08, 0.12, 0.18, 0.26 |
| jpeg | JPEG at this quality, 4:2:0 | 30, 18, 10, 6, 3 |
| brightness | a shift up or down, of 255, cut at black and white | 0.1, 0.2, 0.3, 0.4, 0.5 |
| patch | a mid-grey square anywhere, its side as a share of the side | 0.2, 0.3, 0.4, 0.5, 0.6 |
| resolution | shrunk to this share by area and enlarged again, bicubic | 2/3, 1/2, 1/3, 1/4, 1/6 |
| rotation | about the centre to either side, degrees, edges carried on | 5, 10, 20, 30, 45 |

What is random (noise, direction, place) follows from the seed, the kind, the strength and the pixels of the
image, never from the order of images: the same face is always corrupted alike.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from crossfer.images.read import scaled

STRENGTHS = (1, 2, 3, 4, 5)
MID_GREY = 128


def corrupt(pixels: np.ndarray, kind: str, strength: int, *, digest: str, seed: int = 0) -> np.ndarray:
    """A corrupted copy of an image.

    Args:
        pixels: uint8 RGB (H, W, 3).
        kind: one of ``CORRUPTIONS``.
        strength: 1 to 5.
        digest: names the image; equal images have the same.
        seed: another one makes other random choices.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        ValueError: for an unknown kind or strength.
    """
    if kind not in CORRUPTIONS or strength not in STRENGTHS:
        raise ValueError(
            f"expected one of {', '.join(CORRUPTIONS)} at a strength of 1 to 5, got {kind!r} at {strength!r}"
        )
    key = blake2b(f"{seed}/{kind}/{strength}/{digest}".encode(), digest_size=16).digest()
    apply, parameters = CORRUPTIONS[kind]
    return apply(pixels, parameters[strength - 1], np.random.default_rng(int.from_bytes(key, "little")))


def _blur(pixels: np.ndarray, share: float, _: np.random.Generator) -> np.ndarray:
    radius = share * min(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _noise(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return _clipped(pixels + 255 * share * rng.normal(size=(*pixels.shape[:2], 1)))


def _jpeg(pixels: np.ndarray, quality: float, _: np.random.Generator) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(quality), subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


def _brightness(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return _clipped(pixels + 255 * share * rng.choice([-1, 1]))


def _patch(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = max(1, round(share * min(height, width)))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    covered = pixels.copy()
    covered[top : top + side, left : left + side] = MID_GREY
    return covered


def _resolution(pixels: np.ndarray, share: float, _: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(pixels)
    shrunk = image.resize(scaled(image.size, share), Image.Resampling.BOX)
    return np.asarray(shrunk.resize(image.size, Image.Resampling.BICUBIC))


def _rotation(pixels: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    margin = max(height, width) // 2 + 1
    wide = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = Image.fromarray(wide).rotate(degrees * rng.choice([-1, 1]), Image.Resampling.BILINEAR)
    return np.asarray(turned)[margin : margin + height, margin : margin + width]


def _clipped(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "blur": (_blur, (0.01, 0.02, 0.03, 0.045, 0.06)),
    "noise": (_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    "jpeg": (_jpeg, (30, 18, 10, 6, 3)),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "patch": (_patch, (0.2, 0.3, 0.4, 0.5, 0.6)),
    "resolution": (_resolution, (2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6)),
    "rotation": (_rotation, (5, 10, 20, 30, 45)),
}

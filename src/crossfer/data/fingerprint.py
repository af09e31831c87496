"""What is kept of an image to find it again: a digest of its pixels, and a thumbnail for near matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from PIL import Image

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.system.cores import usable_cores

SIDE = 24  # pixels of a thumbnail's side
CHUNK = 256  # images decoded ahead: memory stays that of so many


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of N images, 592 bytes each, in the order in which they were listed.

    Attributes:
        digests: (N, 16) uint8, BLAKE2b of shape and pixels as decoded: equal if and only if the pixels are.
        thumbnails: (N, 576) uint8, the whole image in grey on 24 x 24 pixels, each the mean of its area.
        unreadable: for each image that cannot be read its index, and what says why; its rows above are zero.
    """

    digests: np.ndarray
    thumbnails: np.ndarray
    unreadable: dict[int, DataError]

    def __len__(self) -> int:
        return len(self.digests)


def take_fingerprints(
    datasets: Sequence[Dataset], *, progress: Callable[[int], None] = lambda _: None
) -> Fingerprints:
    """Reads every image of some data sets once, several at a time.

    Args:
        datasets: the images; an image's index counts on from one data set to the next.
        progress: called with the number of images done since the last call.
    """
    count = sum(len(dataset) for dataset in datasets)
    digests, thumbnails = np.zeros((count, 16), np.uint8), np.zeros((count, SIDE * SIDE), np.uint8)
    unreadable: dict[int, DataError] = {}
    for index, found in enumerate(_read_all(datasets)):
        if isinstance(found, DataError):
            unreadable[index] = type(found)(str(found))  # without what its traceback holds
        else:
            digests[index], thumbnails[index] = found
        progress(1)
    return Fingerprints(digests, thumbnails, unreadable)


def _read_all(datasets: Sequence[Dataset]) -> Iterator[tuple[np.ndarray, np.ndarray] | DataError]:
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:  # decoding leaves the interpreter lock
        for dataset in datasets:
            for start in range(0, len(dataset), CHUNK):
                chunk = dataset.samples[start : start + CHUNK]
                yield from pool.map(partial(_fingerprint_of, dataset), chunk)


def _fingerprint_of(dataset: Dataset, sample: Sample) -> tuple[np.ndarray, np.ndarray] | DataError:
    try:
        pixels = dataset.read(sample)
    except DataError as error:
        return error
    return pixel_digest(pixels), thumbnail(pixels)


def pixel_digest(pixels: np.ndarray) -> np.ndarray:
    """16 bytes, uint8, that two images share if and only if they are equal in size and in every pixel.

    Args:
        pixels: uint8 RGB (H, W, 3).
    """
    digest = blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return np.frombuffer(digest.digest(), np.uint8)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """The image in grey on 24 x 24 pixels, row by row: uint8 (576,).

    Args:
        pixels: uint8 RGB (H, W, 3).
    """
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX).convert("L")
    return np.asarray(small, np.uint8).ravel()

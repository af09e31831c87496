"""Images that occur more than once: pixel for pixel, or nearly, as they are or mirrored.

Benchmarks leak: an image of the test split that also lies in train is remembered, not recognised. Identical
images are those whose pixels have the same digest. Nearly identical ones (cut, shifted or compressed
differently, brightened, stamped with a watermark) are those whose thumbnails correlate by at least
``NEAR``; zero-mean normalised correlation does not change with brightness and contrast.

Comparing all pairs costs the square of their number, so candidates come from a hash first: 32 tables of 20
bits, each bit the side of a plane on which a thumbnail lies (random-hyperplane hashing; Charikar,
"Similarity Estimation Techniques from Rounding Algorithms", STOC 2002). Two thumbnails of correlation r agree
in a bit with probability 1 - arccos(r) / pi, so a pair at r = 0.94 meets in at least one table with
probability 0.96, one at 0.97 with 0.999. Each plane's weights are +1 and -1 in equal number: brightness
drops out, and sums of whole numbers are exact, so that every machine finds the same pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import shake_256

import numpy as np

from crossfer.data.fingerprint import SIDE, Fingerprints

NEAR = 0.94
TABLES, BITS = 32, 20
FLATTEST = 1.0  # standard deviation of a thumbnail, in grey levels, below which it says nothing
COARSE = 8  # pixels of the side at which candidates are compared first,
SLACK = 0.02  # and how far below ``NEAR`` they may correlate there
PAIRS_AT_ONCE = 100_000


def group_duplicates(prints: Fingerprints, near: np.ndarray | None = None) -> np.ndarray:
    """The group of each image, (N,) int64: the index of the first image that it is the same as, or its own.

    Args:
        prints: fingerprints of the images.
        near: (P, 2), pairs of indices to count as the same besides identical ones; being the same is carried
            on from pair to pair.
    """
    groups = _first_of_equal(prints)
    if near is None:
        return groups
    return _joined(groups, near.tolist())


def join_groups(groups: np.ndarray, keys: Sequence[str | None]) -> np.ndarray:
    """The groups after joining those that share a key, such as a subject; None is no key.

    Args:
        groups: (N,) int64, as ``group_duplicates`` gives them.
        keys: one for each image.
    """
    first: dict[str, int] = {}
    pairs = [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key is not None]
    return _joined(groups, pairs)


def _joined(groups: np.ndarray, pairs: Sequence[Sequence[int]]) -> np.ndarray:
    parents = groups.tolist()
    for one, other in pairs:
        first, second = sorted((_root(parents, one), _root(parents, other)))
        parents[second] = first
    return np.array([_root(parents, i) for i in range(len(parents))], np.int64)


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


def _first_of_equal(prints: Fingerprints) -> np.ndarray:
    """For each image the first one with the same digest; images that could not be read are like no other."""
    keys = np.ascontiguousarray(prints.digests).view("V16").ravel()
    _, first, member = np.unique(keys, return_index=True, return_inverse=True)
    groups = first[member].astype(np.int64)
    lost = list(prints.unreadable)
    groups[lost] = lost
    return groups


def members(groups: np.ndarray) -> list[np.ndarray]:
    """The groups of at least two images, each as its ascending indices, in the order of their first."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return [group for group in np.split(order, starts[1:]) if len(group) > 1]


# ---- nearly the same ----


def find_near_pairs(prints: Fingerprints, *, progress: Callable[[int], None] = lambda _: None) -> np.ndarray:
    """Pairs of images whose thumbnails correlate by at least ``NEAR``, as they are or mirrored.

    Of identical images only the first takes part. Thumbnails without any contrast are like no other.

    Args:
        prints: fingerprints of the images.
        progress: called with 1 after each of the ``TABLES`` tables.

    Returns:
        (P, 2) int64, indices of the two images, the smaller first; each pair once, in order.
    """
    rows = np.flatnonzero(_first_of_equal(prints) == np.arange(len(prints)))
    rows = rows[prints.thumbnails[rows].std(axis=1) >= FLATTEST]
    upright = _Pictures(prints.thumbnails[rows])
    turned = _Pictures(_mirrored(upright.thumbnails))
    found: set[tuple[int, int]] = set()
    for table in range(TABLES):
        codes, turned_codes = _codes(upright.thumbnails, table), _codes(turned.thumbnails, table)
        for theirs, pictures in ((codes, upright), (turned_codes, turned)):
            for pairs in _meetings(codes, theirs, symmetric=pictures is upright):
                near = _near(upright, pictures, pairs)
                found.update(map(tuple, np.sort(near, axis=1).tolist()))
        progress(1)
    return rows[np.array(sorted(found), np.int64).reshape(-1, 2)]


class _Pictures:
    """Thumbnails, (N, 576) uint8, and a coarse version, (N, 64) float32, whose products are correlations."""

    def __init__(self, thumbnails: np.ndarray) -> None:
        self.thumbnails = thumbnails
        step = SIDE // COARSE
        coarse = np.empty((len(thumbnails), COARSE * COARSE), np.float32)
        for start in range(0, len(thumbnails), 4096):
            block = thumbnails[start : start + 4096].reshape(-1, COARSE, step, COARSE, step)
            means = block.mean(axis=(2, 4), dtype=np.float32)
            coarse[start : start + 4096] = means.reshape(-1, COARSE * COARSE)
        coarse -= coarse.mean(axis=1, keepdims=True)
        coarse /= np.maximum(np.linalg.norm(coarse, axis=1, keepdims=True), 1e-6)
        self.coarse = coarse


def _mirrored(thumbnails: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(thumbnails.reshape(-1, SIDE, SIDE)[:, :, ::-1]).reshape(-1, SIDE * SIDE)


def _near(ours: _Pictures, theirs: _Pictures, pairs: np.ndarray) -> np.ndarray:
    """Of some candidate pairs those that correlate by at least ``NEAR``."""
    coarse = np.einsum("ij,ij->i", ours.coarse[pairs[:, 0]], theirs.coarse[pairs[:, 1]])
    pairs = pairs[coarse >= NEAR - SLACK]
    scores = _correlations(ours.thumbnails, theirs.thumbnails, pairs)
    return pairs[scores >= NEAR]


def _codes(thumbnails: np.ndarray, table: int) -> np.ndarray:
    """On which side of a table's planes each thumbnail lies, as a number of ``BITS`` bits: (N,) int64."""
    planes, places = _planes(table), np.float32(2) ** np.arange(BITS)
    codes = np.empty(len(thumbnails), np.int64)
    for start in range(0, len(thumbnails), 4096):
        block = thumbnails[start : start + 4096].astype(np.float32)
        sides = block @ planes > 0  # both products are exact: whole numbers below 2 ** 24
        codes[start : start + 4096] = sides.astype(np.float32) @ places.astype(np.float32)
    return codes


def _planes(table: int) -> np.ndarray:
    """The normals of a table's planes, (576, BITS) float32, from a hash so that they never change."""
    size = SIDE * SIDE
    noise = shake_256(f"crossfer planes {table}".encode()).digest(8 * size * BITS)
    ranks = np.frombuffer(noise, "<u8").reshape(size, BITS).argsort(axis=0, kind="stable")
    planes = np.empty((size, BITS), np.float32)
    np.put_along_axis(planes, ranks, np.where(np.arange(size) % 2, 1, -1)[:, None], axis=0)
    return planes


def _meetings(ours: np.ndarray, theirs: np.ndarray, *, symmetric: bool) -> Iterator[np.ndarray]:
    """Pairs (i, j), i != j, with the code ``ours[i] == theirs[j]``, in blocks of bounded size.

    Args:
        ours: (N,) codes.
        theirs: (N,) codes.
        symmetric: both are the same codes, so only pairs with i < j are given.
    """
    order = np.argsort(theirs, kind="stable")
    ranked = theirs[order]
    low, high = np.searchsorted(ranked, ours, "left"), np.searchsorted(ranked, ours, "right")
    ends = np.cumsum(high - low)
    for start in range(0, int(ends[-1]) if len(ends) else 0, PAIRS_AT_ONCE):
        number = np.arange(start, min(start + PAIRS_AT_ONCE, int(ends[-1])))
        i = np.searchsorted(ends, number, "right")
        j = order[low[i] + number - (ends[i] - (high[i] - low[i]))]
        wanted = i < j if symmetric else i != j
        if wanted.any():
            yield np.stack([i[wanted], j[wanted]], axis=1)


def _correlations(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Zero-mean normalised correlation of ``first[i]`` and ``second[j]`` for each pair, in -1..1."""
    a, b = first[pairs[:, 0]].astype(np.float64), second[pairs[:, 1]].astype(np.float64)
    size = a.shape[1]
    covariance = np.einsum("ij,ij->i", a, b) - a.sum(1) * b.sum(1) / size
    spread = [np.einsum("ij,ij->i", x, x) - x.sum(1) ** 2 / size for x in (a, b)]
    return covariance / np.sqrt(spread[0] * spread[1])

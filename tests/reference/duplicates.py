"""Near pairs the slow way: every pair, correlated by NumPy's own ``corrcoef``."""

from __future__ import annotations

import numpy as np


def near_pairs(thumbnails: np.ndarray, threshold: float) -> set[tuple[int, int]]:
    turned = thumbnails.reshape(-1, 24, 24)[:, :, ::-1].reshape(len(thumbnails), -1)
    found = set()
    for i in range(len(thumbnails)):
        for j in range(i + 1, len(thumbnails)):
            upright = np.corrcoef(thumbnails[i], thumbnails[j])[0, 1]
            mirrored = np.corrcoef(thumbnails[i], turned[j])[0, 1]
            if max(upright, mirrored) >= threshold:
                found.add((i, j))
    return found

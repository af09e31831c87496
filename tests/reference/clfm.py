"""CLFM: per image, the channels of the deep map are coded and clustered, and shallow ones compared."""

import numpy as np

from reference.coding import hash_codes, pooled_codes
from reference.contrast import contrast_loss
from reference.lloyd import lloyd


def alive(codes: np.ndarray) -> np.ndarray:
    """Those of (N, d) that are not zero: a dead channel joins no cluster."""
    return np.array([code for code in codes if code.any()]).reshape(-1, codes.shape[1])


CODES = {"pooled": pooled_codes, "hash": hash_codes, "straight_through": hash_codes}


def clfm_loss(
    shallow: np.ndarray,
    deep: np.ndarray,
    starts: np.ndarray,
    *,
    coding: str,
    contrast: str,
    iterations: int = 10,
) -> float:
    """f_j (B, C_j, H_j, W_j) and f_4 (B, C_4, g, g); ``starts`` (B, K, d) begin the k-means of each image."""
    grid = deep.shape[-1]
    sets, centroids = [], []
    for i in range(len(deep)):
        centroids.append(lloyd(alive(CODES[coding](deep[i], grid)), starts[i], iterations)[0])
        sets.append(alive(CODES[coding](shallow[i], grid)))
    return contrast_loss(contrast, sets, centroids)

"""MSR steps 3 and 4: the weighted sum of the scales, a 3x3 convolution, and batch norm."""

import numpy as np

from reference.convolution import convolution


def weighted_sum(embeddings: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """z = sum over j of a_j z_j."""
    total = np.zeros_like(embeddings[0])
    for j, z in enumerate(embeddings):
        for i in range(len(z)):
            total[i] += weights[i, j] * z[i]
    return total


def batch_norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """With the statistics of the batch, as while training."""
    out = np.zeros_like(x)
    for d in range(x.shape[1]):
        channel = x[:, d]
        out[:, d] = (channel - channel.mean()) / np.sqrt(channel.var() + eps) * scale[d] + shift[d]
    return out


def fuse(z: np.ndarray, kernel: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """x of step 4."""
    return batch_norm(convolution(z, kernel, padding=1), scale, shift)

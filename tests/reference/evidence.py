"""Head, steps 5 and 6: evidence of every cell for every class, and logits as its sums.

The pooled branch is a global average pool of x and a linear layer, which is a sum over cells as well.
"""

import numpy as np


def batch_mean(x: np.ndarray) -> np.ndarray:
    """mu of step 5 while training: the mean of x over batch and channels, (G, G)."""
    total = np.zeros(x.shape[2:])
    for image in x:
        total += image.mean(axis=0)
    return total / len(x)


def evidence(
    x: np.ndarray, mu: np.ndarray, weight: np.ndarray, bias: np.ndarray, pooled: np.ndarray | None = None
) -> np.ndarray:
    """(B, D, G, G) -> (B, K, G, G)."""
    grid = x.shape[-1]
    out = np.zeros((len(x), *weight.shape))
    for i, c, u, v in np.ndindex(*out.shape):
        m = x[i, :, u, v].mean()
        out[i, c, u, v] = weight[c, u, v] * (m + mu[u, v]) + bias[c] / grid**2
        if pooled is not None:
            out[i, c, u, v] += sum(pooled[c, d] * x[i, d, u, v] for d in range(x.shape[1])) / grid**2
    return out


def logits(
    x: np.ndarray, mu: np.ndarray, weight: np.ndarray, bias: np.ndarray, pooled: np.ndarray | None
) -> np.ndarray:
    """The classifier as step 6 states it, a linear layer over the flattened grid: (B, K)."""
    out = np.zeros((len(x), len(bias)))
    for i, image in enumerate(x):
        m = image.mean(axis=0) + mu
        for c in range(len(bias)):
            out[i, c] = weight[c].reshape(-1) @ m.reshape(-1) + bias[c]
            if pooled is not None:
                out[i, c] += pooled[c] @ np.array([channel.mean() for channel in image])
    return out

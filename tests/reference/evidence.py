"""Head, steps 5 and 6: evidence of every cell for every class, and logits as its sums.

The pooled branch is a global average pool of the deep features and a linear layer; its cells are shared
out to the grid by area.
"""

import numpy as np


def batch_mean(x: np.ndarray) -> np.ndarray:
    """mu of step 5 while training: the mean of x over batch and channels, (G, G)."""
    total = np.zeros(x.shape[2:])
    for image in x:
        total += image.mean(axis=0)
    return total / len(x)


def share(cells: np.ndarray, grid: int) -> np.ndarray:
    """(H, W) -> (G, G): cut every cell into grid x grid equal crumbs and drop each where its centre lies."""
    height, width = cells.shape
    out = np.zeros((grid, grid))
    for i, j, a, b in np.ndindex(height, width, grid, grid):
        row, column = (i + (a + 0.5) / grid) / height, (j + (b + 0.5) / grid) / width
        out[int(row * grid), int(column * grid)] += cells[i, j] / grid**2
    return out


def evidence(
    x: np.ndarray,
    deep: np.ndarray,
    mu: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    pooled: np.ndarray | None = None,
) -> np.ndarray:
    """(B, D, G, G) and (B, C_4, H_4, W_4) -> (B, K, G, G)."""
    grid = x.shape[-1]
    out = np.zeros((len(x), *weight.shape))
    for i, c, u, v in np.ndindex(*out.shape):
        m = x[i, :, u, v].mean()
        out[i, c, u, v] = weight[c, u, v] * (m + mu[u, v]) + bias[c] / grid**2
    if pooled is not None:
        for i, c in np.ndindex(*out.shape[:2]):
            cells = sum(pooled[c, d] * deep[i, d] for d in range(deep.shape[1])) / deep[0, 0].size
            out[i, c] += share(cells, grid)
    return out


def logits(
    x: np.ndarray,
    deep: np.ndarray,
    mu: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    pooled: np.ndarray | None,
) -> np.ndarray:
    """The classifier as step 6 states it, a linear layer over the flattened grid: (B, K)."""
    out = np.zeros((len(x), len(bias)))
    for i, image in enumerate(x):
        m = image.mean(axis=0) + mu
        for c in range(len(bias)):
            out[i, c] = weight[c].reshape(-1) @ m.reshape(-1) + bias[c]
            if pooled is not None:
                out[i, c] += pooled[c] @ np.array([channel.mean() for channel in deep[i]])
    return out

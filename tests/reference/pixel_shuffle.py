"""MSR step 1: a pixel shuffle moves channels to space, one output pixel at a time."""

import numpy as np


def pixel_shuffle(f: np.ndarray, factor: int) -> np.ndarray:
    """(B, C r^2, H, W) -> (B, C, r H, r W): channel (c r + dy) r + dx goes to y r + dy, x r + dx."""
    batch, channels, height, width = f.shape
    out = np.zeros((batch, channels // factor**2, height * factor, width * factor))
    for c, row, column in np.ndindex(*out.shape[1:]):
        y, dy = divmod(row, factor)
        x, dx = divmod(column, factor)
        out[:, c, row, column] = f[:, (c * factor + dy) * factor + dx, y, x]
    return out

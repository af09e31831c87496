"""CLFM's codes: every channel on a common g x g grid, as a normalised map or its two peaks' places."""

import numpy as np


def common_grid(f: np.ndarray, grid: int) -> np.ndarray:
    """Adaptive average pool, (C, H, W) -> (C, g, g): cell i covers floor(i H / g) to ceil((i + 1) H / g)."""
    channels, height, width = f.shape
    out = np.zeros((channels, grid, grid))
    for c, i, j in np.ndindex(*out.shape):
        rows = slice(i * height // grid, -(-(i + 1) * height // grid))
        columns = slice(j * width // grid, -(-(j + 1) * width // grid))
        out[c, i, j] = f[c, rows, columns].mean()
    return out


def pooled_codes(f: np.ndarray, grid: int) -> np.ndarray:
    """(C, H, W) -> (C, g^2), each of length 1; a channel that is zero everywhere keeps the zero code."""
    codes = common_grid(f, grid).reshape(len(f), -1)
    return np.array([code / np.linalg.norm(code) if code.any() else code for code in codes])


def hash_codes(f: np.ndarray, grid: int) -> np.ndarray:
    """(C, H, W) -> (C, 4): (row1, col1, row2, col2) of the two highest cells, 0..g-1 scaled to [-1, 1]."""
    codes = []
    for cells in common_grid(f, grid).reshape(len(f), -1):
        first = int(cells.argmax())
        second = max((value, -i) for i, value in enumerate(cells) if i != first)[1] * -1
        codes.append([2 * p / (grid - 1) - 1 for i in (first, second) for p in divmod(i, grid)])
    return np.array(codes)


def soft_positions(f: np.ndarray, grid: int) -> np.ndarray:
    """What the gradient of the straight-through code is the gradient of: soft-argmax of the standardised map,
    and of the same without its highest cell, (C, H, W) -> (C, 4)."""
    codes = []
    for cells in common_grid(f, grid).reshape(len(f), -1):
        scores = (cells - cells.mean()) / cells.std()
        code = []
        for left_out in (None, int(cells.argmax())):
            shares = np.array([0 if i == left_out else np.exp(s) for i, s in enumerate(scores)])
            places = np.array([[2 * p / (grid - 1) - 1 for p in divmod(i, grid)] for i in range(grid**2)])
            code += list(shares / shares.sum() @ places)
        codes.append(code)
    return np.array(codes)

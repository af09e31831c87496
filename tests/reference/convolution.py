"""A convolution written as one dot product an output value; MSR step 2 is one of these."""

import numpy as np


def convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, stride: int = 1, padding: int = 0
) -> np.ndarray:
    """(B, C, H, W), (D, C, k, k) -> (B, D, H', W') with zeros around the map."""
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    kernel = weight.shape[-1]
    height, width = ((side - kernel) // stride + 1 for side in padded.shape[2:])
    out = np.zeros((len(x), len(weight), height, width))
    for b, d, v, u in np.ndindex(*out.shape):
        window = padded[b, :, v * stride : v * stride + kernel, u * stride : u * stride + kernel]
        out[b, d, v, u] = (window * weight[d]).sum() + (0 if bias is None else bias[d])
    return out

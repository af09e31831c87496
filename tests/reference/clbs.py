"""CLBS: the samples of a batch, one vector each: clustered on the deep stage, compared on shallow ones."""

import numpy as np

from reference.contrast import contrast_loss
from reference.convolution import convolution
from reference.lloyd import lloyd


def embedding_vectors(z: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """As released: z_j -> sigmoid -> 3x3 convolution to 4 channels -> flatten, (B, D, G, G) -> (B, 4 G^2)."""
    seen = convolution(1 / (1 + np.exp(-z)), kernel, bias, padding=1)
    return np.array([image.reshape(-1) for image in seen])


def stage_vectors(
    f: np.ndarray, kernel: np.ndarray, bias: np.ndarray, linear: np.ndarray, linear_bias: np.ndarray
) -> np.ndarray:
    """As in the figure: f_j -> 1x1 convolution -> pool -> linear -> ReLU, (B, C, H, W) -> (B, d)."""
    seen = convolution(f, kernel, bias)
    pooled = [[channel.mean() for channel in image] for image in seen]
    return np.array([np.maximum(linear @ np.array(p) + linear_bias, 0) for p in pooled])


def centre(vectors: np.ndarray) -> np.ndarray:
    """What all samples share is taken away first: ours, neither figure nor release has it."""
    return vectors - vectors.mean(axis=0)


def clbs_loss(
    shallow: np.ndarray, deep: np.ndarray, start: np.ndarray, *, contrast: str, iterations: int = 10
) -> float:
    """Vectors (B, d) of a shallow and of the deep stage; ``start`` (K, d) begins the k-means."""
    centroids = lloyd(centre(deep), start, iterations)[0]
    return contrast_loss(contrast, [centre(shallow)], [centroids])

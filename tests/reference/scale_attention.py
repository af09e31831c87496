"""MSR step 3: one weight an image and scale, a_j = sigmoid(w . GAP(conv3x3(z_j)) + b)."""

import math

import numpy as np

from reference.convolution import convolution


def scale_weights(
    embeddings: list[np.ndarray], kernel: np.ndarray, kernel_bias: np.ndarray, w: np.ndarray, b: float
) -> np.ndarray:
    """z_1 ... z_4, each (B, D, G, G) -> (B, 4); convolution and linear layer are shared."""
    weights = np.zeros((len(embeddings[0]), len(embeddings)))
    for j, z in enumerate(embeddings):
        seen = convolution(z, kernel, kernel_bias, padding=1)
        for i, image in enumerate(seen):
            score = sum(w[d] * image[d].mean() for d in range(len(w))) + b
            weights[i, j] = 1 / (1 + math.exp(-score))
    return weights

"""The released computation, loop by loop: codes that are positions, k-means, cosine over an axis."""

import numpy as np

from reference.cluster_means import assign
from reference.lloyd import lloyd


def pooled_by_three(channel: np.ndarray) -> np.ndarray:
    """3 x 3 average pool of stride 3; what is left over at the right and at the bottom is dropped."""
    rows, columns = channel.shape[0] // 3, channel.shape[1] // 3
    out = np.zeros((rows, columns))
    for i, j in np.ndindex(rows, columns):
        out[i, j] = channel[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean()
    return out


def hash_codes(f: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (C, 4): the flat indices of the two highest cells, read as if every map were 8 wide."""
    codes = []
    for channel in f:
        cells = pooled_by_three(channel).reshape(-1)
        first, second = sorted(range(len(cells)), key=lambda i: -cells[i])[:2]
        codes.append([*divmod(first, 8), *divmod(second, 8)])
    return np.array(codes, float)


def means_of(codes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(N, d), (K, d) -> (K, d): the mean of the codes that joined each centroid, or the centroid itself."""
    joined = np.array(assign(codes, centroids))
    return np.array([codes[joined == k].mean(axis=0) if k in joined else c for k, c in enumerate(centroids)])


def cosines(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Cosine of each row of ``a`` with that row of ``b``, lengths bounded from below as torch does."""
    return [
        float(x @ y) / (max(np.linalg.norm(x), 1e-8) * max(np.linalg.norm(y), 1e-8))
        for x, y in zip(a, b, strict=True)
    ]


def clfm_loss(shallow: np.ndarray, deep: np.ndarray, starts: np.ndarray, *, iterations: int = 10) -> float:
    """f_j and f_4, each (B, C, H, W); ``starts`` (B, K, 4). The cosine runs over the clusters."""
    found: list[float] = []
    for image, deep_image, start in zip(shallow, deep, starts, strict=True):
        centroids = lloyd(hash_codes(deep_image), start, iterations)[0]
        found += cosines(means_of(hash_codes(image), centroids).T, centroids.T)
    return -0.5 * float(np.mean(found))


def clbs_loss(shallow: np.ndarray, deep: np.ndarray, start: np.ndarray, *, iterations: int = 10) -> float:
    """Vectors (B, d) of a shallow and of the deep stage; ``start`` (K, d). The cosine runs over the code."""
    centroids = lloyd(deep, start, iterations)[0]
    return -0.5 * float(np.mean(cosines(means_of(shallow, centroids), centroids)))

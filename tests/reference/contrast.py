"""Either contrast by its name."""

import numpy as np

from reference.cosine_loss import cosine_loss
from reference.infonce import infonce_loss


def contrast_loss(
    name: str, sets: list[np.ndarray], centroids: list[np.ndarray], temperature: float = 0.1
) -> float:
    """``"cosine"`` or ``"infonce"``."""
    return cosine_loss(sets, centroids) if name == "cosine" else infonce_loss(sets, centroids, temperature)

"""Rare classes: learning as if all classes were as frequent as one another.

Logit adjustment (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10): while
it learns, the network is told how frequent each class is, so that its own logits need not say so.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BalancedCrossEntropy(nn.Module):
    """Stands in the loss where the plain cross entropy does: that of logits + balance * log(shares).

    Args:
        targets: (N, K) distributions over the classes of all that is learnt from; a class that has less than
            one face's worth of them counts as if it had one.
        balance: 0 for classes as frequent as they are, 1 for all alike.
    """

    adjustment: Tensor

    def __init__(self, targets: Tensor, balance: float) -> None:
        super().__init__()
        shares = targets.sum(dim=0).clamp_min(1) / len(targets)
        # It follows from the faces, so that no checkpoint need hold it.
        self.register_buffer("adjustment", balance * shares.log(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of a batch: (B, K) logits, (B, K) distributions -> scalar mean over the batch."""
        return F.cross_entropy(logits + self.adjustment, targets)

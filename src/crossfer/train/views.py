"""Learning without labels: two changed views of each face are to find one another in the batch.

SimCLR (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020). The
network is that of a labelled run, whose head gives the hidden values of the projection instead of a value
for each class; so all that such a run starts with is learnt but the head's rows, and cross-layer terms may be
part of the loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.method import collectives
from crossfer.train.config import ViewsConfig


class ViewContrast(nn.Module):
    """Stands in the loss where the cross entropy of the labels does; its projection is learnt with the net.

    Args:
        config: sizes of the projection, and the temperature of the softmax.
    """

    def __init__(self, config: ViewsConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.project = nn.Linear(config.hidden, config.dim)

    def forward(self, hidden: Tensor, _: Tensor) -> Tensor:
        """Loss of a batch, over those of all ranks.

        Args:
            hidden: (2B, H) for a face's two views in adjacent rows.

        Returns:
            Scalar; log (2B - 1) where all views look alike.
        """
        similarity = self._compare(collectives.gather(self._directions(hidden)))
        return F.cross_entropy(similarity, partners(similarity))

    @torch.no_grad()
    def judge(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Of this rank's views alone, how many find their partner first, and their summed loss: scalars.

        Args:
            hidden: as in :meth:`forward`.
        """
        similarity = self._compare(self._directions(hidden))
        sought = partners(similarity)
        found = (similarity.argmax(dim=1) == sought).sum()
        return found, F.cross_entropy(similarity, sought, reduction="sum")

    def _compare(self, directions: Tensor) -> Tensor:
        """Cosines of all views (2B, d) over the temperature, but for those to themselves: (2B, 2B)."""
        similarity = directions @ directions.mT / self.temperature
        return similarity.fill_diagonal_(-torch.inf)

    def _directions(self, hidden: Tensor) -> Tensor:
        dtype = self.project.weight.dtype
        return F.normalize(self.project(F.relu(hidden.to(dtype))), dim=1)


def partners(views: Tensor) -> Tensor:
    """For each row of (2B, ...) that of the same face's other view: 1, 0, 3, 2, ..."""
    return torch.arange(len(views), device=views.device) ^ 1

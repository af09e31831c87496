"""Augmentation on the device, for faces in the crop that the runtime will see."""

from __future__ import annotations

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfer.train.config import AugmentConfig


class Augment(nn.Module):
    """Random geometry, light, resolution and occlusion; draws from torch's global generator.

    The spreads are to cover what the detector's box leaves open (see ``docs/crop.md``): a face found in a
    photo is a little shifted, scaled and turned against the training faces, and may have less detail.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.geometry = nn.Sequential(
            K.RandomHorizontalFlip(p=c.flip),
            K.RandomAffine(
                degrees=c.rotation,
                translate=(c.shift, c.shift),
                scale=(1 - c.scale, 1 + c.scale),
                padding_mode="border",
                p=1.0,
            ),
        )
        self.erase = K.RandomErasing(scale=c.erasing_area, ratio=(0.5, 2.0), value=0.5, p=c.erasing)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) in 0..1 -> the same shape and range."""
        images = self._lose_detail(self.geometry(images))
        images = self._add_noise(self._relight(images))
        return self.erase(images)

    def _relight(self, images: Tensor) -> Tensor:
        """Brightness added and contrast multiplied around the image's own mean."""
        shape = (len(images), 1, 1, 1)
        shift = torch.empty(shape, device=images.device).uniform_(-1, 1) * self.config.brightness
        gain = 1 + torch.empty(shape, device=images.device).uniform_(-1, 1) * self.config.contrast
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((images - mean) * gain + mean + shift).clamp(0, 1)

    def _add_noise(self, images: Tensor) -> Tensor:
        """Some images with Gaussian noise, another value in each pixel and channel."""
        if self.config.noise == 0:
            return images  # and nothing is drawn, so that seeds of recipes without noise mean what they meant
        chosen = torch.rand(len(images), device=images.device) < self.config.noise
        noisy = (images + self.config.noise_std * torch.randn_like(images)).clamp(0, 1)
        return torch.where(chosen[:, None, None, None], noisy, images)

    def _lose_detail(self, images: Tensor) -> Tensor:
        """Some images shrunk by one factor a batch and enlarged again."""
        chosen = torch.rand(len(images), device=images.device) < self.config.low_resolution
        side = images.shape[-1]
        factor = self.config.low_resolution_min + (1 - self.config.low_resolution_min) * float(torch.rand(()))
        small = F.interpolate(images, size=max(2, round(side * factor)), mode="bilinear", antialias=True)
        coarse = F.interpolate(small, size=side, mode="bilinear")
        return torch.where(chosen[:, None, None, None], coarse, images)


def mixup(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """MixUp (Zhang et al. 2018): images and targets blended with others of the batch; 0 changes nothing."""
    if alpha == 0:
        return images, targets
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(images), device=images.device)
    return images.lerp(images[other], 1 - share), targets.lerp(targets[other], 1 - share)

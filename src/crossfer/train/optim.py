"""Optimiser, schedule and averaging of the weights, as a recipe asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crossfer.train.config import OptimConfig


def build_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, Adam, or Adam with decoupled weight decay.

    Sources: Sutskever et al. 2013; Kingma and Ba 2015; Loshchilov and Hutter 2019.
    """
    groups = decay_groups(module, config.weight_decay)
    if config.optimizer == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr)


def learning_rate(optim: OptimConfig, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017) or a factor an epoch.

    Args:
        optim: base rate, epochs, warm-up and schedule.
        epoch: epochs done, with the fraction of the current one.
    """
    if epoch < optim.warmup_epochs:
        return optim.lr * (epoch + 0.01) / optim.warmup_epochs
    if optim.schedule == "exponential":
        return optim.lr * optim.decay ** math.floor(epoch - optim.warmup_epochs)
    done = (epoch - optim.warmup_epochs) / max(optim.epochs - optim.warmup_epochs, 1e-9)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def ramped_ema(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Moving average whose decay grows to ``decay``, so that the first steps are soon forgotten."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if not averaged.is_floating_point():
            return current
        return averaged.lerp(current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return average


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels alone; biases and batch-norm scales go free."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]

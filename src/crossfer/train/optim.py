"""Optimiser, schedule and averaging of the weights, as a recipe asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crossfer.train.config import OptimConfig

# Takes averages on from their tensors, the current ones, and the number of values in the averages so far.
Average = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


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
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017), a factor an epoch, or no change.

    Args:
        optim: base rate, epochs, warm-up and schedule.
        epoch: epochs done, with the fraction of the current one.
    """
    if epoch < optim.warmup_epochs:
        return optim.lr * min(1.0, (epoch + 0.01) / optim.warmup_epochs)
    if optim.schedule == "constant":
        return optim.lr
    if optim.schedule == "exponential":
        return optim.lr * optim.decay ** math.floor(epoch - optim.warmup_epochs)
    done = (epoch - optim.warmup_epochs) / max(optim.epochs - optim.warmup_epochs, 1e-9)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def averaging(optim: OptimConfig, steps: int) -> Average:
    """How weights and statistics are averaged; an epoch has so many ``steps``."""
    if optim.average == "ema":
        return ramped_ema(optim.ema_decay)
    return equal_average(math.floor(optim.swa_start * optim.epochs) * steps)


def equal_average(skipped: int) -> Average:
    """Mean of all steps after the first ``skipped``; until then the last step alone.

    Stochastic weight averaging (Izmailov et al. 2018), every step and with the statistics of batch norm,
    which so need no pass of their own over the data.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        _move(averaged, current, 1 / max(1, int(count) + 1 - skipped))

    return average


def ramped_ema(decay: float) -> Average:
    """Moving average whose decay grows to ``decay``, so that the first steps are soon forgotten."""

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        before = int(count)  # once for all tensors: a GPU is waited for each time
        _move(averaged, current, 1 - min(decay, (1 + before) / (10 + before)))

    return average


def _move(averaged: Sequence[Tensor], current: Sequence[Tensor], weight: float) -> None:
    """Take tensors of one type that much of the way to others, in place; whole numbers all of it."""
    if averaged[0].is_floating_point():
        # Not public, but what torch's own averages are made of.
        torch._foreach_lerp_(list(averaged), list(current), weight)  # pyright: ignore
    else:
        for old, new in zip(averaged, current, strict=True):
            old.copy_(new)


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels alone; biases and batch-norm scales go free."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]

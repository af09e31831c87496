"""Learning intensity: how much gradient reaches each stage while a recipe trains.

For stage j, I_j = E[ ||dL/df_j||_2 / sqrt(numel) ] over the batches of an epoch, and the same for the stage's
parameters (Xie et al. 2024 name the magnitude of the back-propagated gradient a layer's learning intensity).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossfer.method import CrossLayerNet
from crossfer.method.encoder import STAGES
from crossfer.system.atomic import write_atomically
from crossfer.train.faults import MORE_RANGE, TrainingError
from crossfer.train.observer import Observer

FILE = "intensity.json"


class GradientProbe(Observer):
    """Notes the learning intensity of every stage; rows of an epoch go to ``intensity.json`` in the run."""

    sees_gradients = True

    def __init__(self) -> None:
        self._rows: list[dict[str, list[float]]] = []
        self._maps: list[Tensor] = []

    def begin(self, net: CrossLayerNet, folder: Path, epoch: int) -> None:
        """Watch the stages of a net; of an earlier start's rows those of whole epochs are kept."""
        self._path = folder / FILE
        self._rows = read_rows(folder)[:epoch]
        encoder = net.encoder
        self._stages: list[nn.Module] = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
        for stage in self._stages:
            stage.register_forward_hook(self._keep)
        self._forget_steps()

    def _forget_steps(self) -> None:
        self._sums, self._steps = torch.zeros(()), torch.zeros(())  # go to the device with the first step

    def _keep(self, module: nn.Module, _: object, output: Tensor) -> None:
        if module.training and output.requires_grad:
            if module is self._stages[0]:
                self._maps = []
            output.retain_grad()
            self._maps.append(output)

    def before_backward(self) -> None:
        """Forget what a loss that looked at its own gradients left in the maps."""
        for f in self._maps:
            f.grad = None

    def after_backward(self, scale: float) -> None:
        """Add the step's intensities, on the device; a step whose gradient overflows in float16 is none."""
        step = torch.stack(
            [_rms([f.grad]) for f in self._maps]
            + [_rms([p.grad for p in stage.parameters()]) for stage in self._stages]
        )
        counts = torch.isfinite(step).all()
        self._sums = self._sums + torch.where(counts, step / scale, 0)
        self._steps = self._steps + counts
        self._maps = []

    def noted(self) -> dict[str, Any]:
        """The rows of all epochs."""
        return {"intensity": self._rows}

    def before_checkpoint(self) -> None:
        """Write the epoch's means.

        Raises:
            TrainingError: if the gradient overflowed in all its steps.
        """
        if not self._steps:
            raise TrainingError(
                f"epoch {len(self._rows) + 1}: the gradient overflows in float16 in every step, so there is "
                f"no intensity; {MORE_RANGE}"
            )
        means = (self._sums / self._steps).tolist()
        self._rows.append({"maps": means[:STAGES], "parameters": means[STAGES:]})
        self._forget_steps()
        write_atomically(self._path, json.dumps(self._rows).encode())


def _rms(gradients: Sequence[Tensor | None]) -> Tensor:
    """||g||_2 / sqrt(numel) over several tensors together; one without a gradient has none."""
    given = [g.detach().float() for g in gradients if g is not None]
    squares = torch.stack([g.square().sum() for g in given]).sum()
    return (squares / sum(g.numel() for g in given)).sqrt()


def read_rows(folder: Path) -> list[dict[str, list[float]]]:
    """What a probe has written in a run's folder: a row an epoch; empty if there is nothing."""
    path = folder / FILE
    return json.loads(path.read_text("utf-8")) if path.exists() else []

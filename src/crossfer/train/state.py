"""The moving parts of a run, and their way to disk and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from crossfer.labels import LabelSet
from crossfer.method import CrossLayerLoss, CrossLayerNet
from crossfer.provenance import code_commit
from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.device import Precision
from crossfer.train.faults import TrainingError
from crossfer.train.optim import build_optimizer, ramped_ema
from crossfer.train.record import EpochRecord, write_log

FORMAT = 2  # of a run's checkpoints; 1 kept the momentum under other names


class RunState:
    """Network, losses, optimiser, averaged weights and history of a run.

    Args:
        recipe: what is trained.
        labels: the class order.
        bare: the recipe's network, freshly made.
        fabric: device and precision.
        folder: the run's.
        precision: as it is written down.
    """

    def __init__(
        self,
        recipe: Recipe,
        labels: LabelSet,
        bare: CrossLayerNet,
        fabric: Fabric,
        folder: Path,
        *,
        precision: Precision,
    ) -> None:
        self.recipe, self.labels, self.fabric, self.folder = recipe, labels, fabric, folder
        self.precision = precision
        # torch documents `memory_format`, but its type stubs leave it out.
        bare.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.loss = CrossLayerLoss(
            num_classes=len(labels),
            channels=bare.encoder.channels,
            embedding_dim=recipe.model.dim,
            variant=recipe.variant,
            **recipe.method.model_dump(),
        ).to(fabric.device)
        optimizer = build_optimizer(nn.ModuleList([bare, self.loss]), recipe.optim)
        self.averaged = AveragedModel(
            bare, device=fabric.device, avg_fn=ramped_ema(recipe.optim.ema_decay), use_buffers=True
        )
        self.bare = bare
        self.net, self.optimizer = fabric.setup(bare, optimizer)
        self.generator = torch.Generator(fabric.device)
        self.history: list[EpochRecord] = []
        self.commit = code_commit()

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return len(self.history)

    @property
    def best(self) -> EpochRecord:
        """The epoch with the highest validation accuracy; the later one of equals."""
        return max(self.history, key=lambda record: (record.valid_accuracy, record.epoch))

    def start(self, resume: bool) -> None:
        """Make the folder, or take up the run in it."""
        last = self.folder / "last.safetensors"
        if not resume and last.exists():
            raise TrainingError(
                f"{self.folder}: holds a run already; add --resume to go on with it or name another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume and last.exists():
            self._take_up(last)

    def _take_up(self, last: Path) -> None:
        tensors, meta = checkpoint.load(last)
        missing = [key for key in ("recipe", "history") if key not in meta]
        if missing:
            raise checkpoint.CheckpointError(
                f"{last}: no run to resume: its metadata lacks {', '.join(missing)}"
            )
        if meta.get("format") != FORMAT:
            raise checkpoint.CheckpointError(
                f"{last}: expected a run of format {FORMAT}, found {meta.get('format')!r}, of another "
                "version of crossfer; go on with that version, or start again in another folder"
            )
        _refuse_other_recipe(meta["recipe"], json.loads(self.recipe.model_dump_json()), self.folder)
        self.bare.load_state_dict(checkpoint.under("model", tensors))
        self.loss.load_state_dict(checkpoint.under("loss", tensors))
        self.averaged.load_state_dict(checkpoint.under("averaged", tensors))
        checkpoint.restore_optimizer(self.optimizer, checkpoint.under("optimizer", tensors))
        self.history = [EpochRecord(**record) for record in meta["history"]]

    def finish_epoch(self, record: EpochRecord) -> None:
        """Log and save; averaged weights go to ``best.safetensors`` if no earlier epoch was better."""
        self.history.append(record)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "commit": self.commit,
            "precision": self.precision,
            "recipe": json.loads(self.recipe.model_dump_json()),
            "label_set": self.labels.name,
            "labels": list(self.labels.expressions),
            "epoch": record.epoch,
            "valid_accuracy": record.valid_accuracy,
        }
        if self.best is record:
            weights = dict(self.averaged.module.state_dict())
            checkpoint.save(self.folder / "best.safetensors", weights, meta)
        tensors = {
            **checkpoint.with_prefix("model", self.bare.state_dict()),
            **checkpoint.with_prefix("loss", self.loss.state_dict()),
            **checkpoint.with_prefix("averaged", self.averaged.state_dict()),
            **checkpoint.with_prefix("optimizer", checkpoint.optimizer_tensors(self.optimizer)),
        }
        checkpoint.save(
            self.folder / "last.safetensors", tensors, {**meta, "history": [asdict(r) for r in self.history]}
        )
        write_log(self.folder / "log.csv", self.history)


def recorded_precision(folder: Path) -> str | None:
    """The precision of the run in a folder, if there is one that says."""
    last = folder / "last.safetensors"
    return checkpoint.load(last)[1].get("precision") if last.exists() else None


def _refuse_other_recipe(theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    theirs_flat, ours_flat = _flatten(theirs), _flatten(ours)
    for key in sorted(ours_flat.keys() | theirs_flat.keys()):
        # Where the data lies may change between machines; what is learnt from it may not.
        if key != "data.root" and theirs_flat.get(key) != ours_flat.get(key):
            raise TrainingError(
                f"{folder}: was trained with {key} = {theirs_flat.get(key)!r}, "
                f"the recipe now says {ours_flat.get(key)!r}; "
                "resume with the same recipe or name another folder"
            )


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat

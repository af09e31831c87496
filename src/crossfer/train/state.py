"""The moving parts of a run, and their way to disk and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

from crossfer.labels import LabelSet, canonical
from crossfer.method import CrossLayerLoss, CrossLayerNet, collectives
from crossfer.method.losses import soft_cross_entropy
from crossfer.provenance import code_commit
from crossfer.train import checkpoint
from crossfer.train.balance import BalancedCrossEntropy
from crossfer.train.config import Recipe
from crossfer.train.device import Precision
from crossfer.train.faults import Place, TrainingError, not_finite
from crossfer.train.optim import averaging, build_optimizer
from crossfer.train.ranks import seed_of, this_rank
from crossfer.train.record import EpochRecord, write_log
from crossfer.train.run_folder import BEST, FORMAT, LAST, LOG, require_folder
from crossfer.train.stream import Faces, fingerprint
from crossfer.train.views import ViewContrast


class RunState:
    """Network, losses, optimiser, averaged weights and history of a run.

    Args:
        recipe: what is trained.
        labels: the class order.
        bare: the recipe's network, freshly made.
        fabric: device and precision.
        folder: the run's.
        precision: as it is written down.
        targets: (N, K) distributions over the classes of all that is learnt from.
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
        targets: Tensor,
    ) -> None:
        self.recipe, self.labels, self.fabric, self.folder = recipe, labels, fabric, folder
        self.precision: Precision = precision
        self.steps = max(1, len(targets) // recipe.optim.batch_size)  # of an epoch
        self.rank, self.place = this_rank(), Place()
        if self.rank.count > 1 and fabric.device.type == "cuda":  # torch has none for CPUs
            nn.SyncBatchNorm.convert_sync_batchnorm(bare)
        # torch documents `memory_format`, but its type stubs leave it out.
        bare.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.views = ViewContrast(recipe.views) if recipe.objective == "views" else None
        self.loss = CrossLayerLoss(
            num_classes=len(labels),
            channels=bare.encoder.channels,
            embedding_dim=recipe.model.dim,
            variant=recipe.variant,
            objective=self.views or _cross_entropy(recipe, targets),
            **recipe.method.model_dump(),
        ).to(fabric.device)
        optimizer = build_optimizer(nn.ModuleList([bare, self.loss]), recipe.optim)
        self.averaged = AveragedModel(
            bare, device=fabric.device, multi_avg_fn=averaging(recipe.optim, self.steps), use_buffers=True
        )
        self.bare = bare
        if recipe.optim.compile:
            bare.compile()
        self.net, self.optimizer = fabric.setup(bare, optimizer)
        self.generator = torch.Generator(fabric.device)
        self.history: list[EpochRecord] = []
        self.teachers: dict[str, str] = {}  # names by checksum
        self.changed = False  # whether a step has changed the weights: in float16 some are left out
        self.faces: dict[str, str] = {}  # fingerprints by split
        self.commit = code_commit()

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return len(self.history)

    @property
    def best(self) -> EpochRecord:
        """The epoch with the highest accuracy on validation, of the kind that counts; the later of equals."""
        key = f"valid_{self.recipe.best_by}"
        return max(self.history, key=lambda record: (getattr(record, key), record.epoch))

    @property
    def gradient_scale(self) -> float:
        """How many times too large gradients are before they are clipped; 1 but in float16."""
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        return 1.0 if scaler is None else scaler.get_scale()

    def begin_epoch(self) -> None:
        """Set everything random by seed, epoch and rank."""
        self.place.epoch, self.place.step = self.epoch + 1, 1
        seed = self.recipe.seed * 1_000_003 + self.epoch
        torch.manual_seed(seed_of(seed, self.rank.number))  # augmentation: other draws on each rank
        self.generator.manual_seed(seed)  # clusters: the same on each
        self.net.train()

    def average_gradients_of_loss(self) -> None:
        """Over the ranks; those of the network's weights are averaged on the way back, while others go on."""
        for parameter in self.loss.parameters():
            if parameter.grad is not None:
                parameter.grad = collectives.mean(parameter.grad)

    def average_statistics(self) -> None:
        """Over the ranks, so that all have the same running means and variances."""
        if self.rank.count > 1:
            statistics = [b for b in self.bare.buffers() if b.is_floating_point()]
            vector_to_parameters(collectives.mean(parameters_to_vector(statistics)), statistics)

    def start(self, resume: bool) -> None:
        """Make the folder, or take up the run in it."""
        require_folder(self.folder, self.recipe, resume=resume)
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume and (last := self.folder / LAST).exists():
            self._take_up(last)

    def _take_up(self, last: Path) -> None:
        tensors, meta = checkpoint.load(last)
        if canonical(meta["label_set"]) != canonical(self.labels.name):
            raise TrainingError(
                f"{self.folder}: was trained for {meta['label_set']}, the data now has {self.labels.name}; "
                "put the class folders back as they were, or name another folder"
            )
        for name, module in {"model": self.bare, "loss": self.loss, "averaged": self.averaged}.items():
            misfit = f"{last}: {name} does not fit the run's own recipe"
            checkpoint.fill(module, checkpoint.under(name, tensors), misfit)
        checkpoint.restore_optimizer(self.optimizer, checkpoint.under("optimizer", tensors))
        self.fabric.strategy.precision.load_state_dict(meta.get("scaler", {}))
        try:
            self.history = [EpochRecord(**record) for record in meta["history"]]
        except TypeError as error:
            raise checkpoint.CheckpointError(f"{last}: no run to resume: its history: {error}") from None
        self.place.saved = True
        self.changed = meta.get("changed", True)  # runs of older versions did not note it
        self.teachers = meta.get("teachers", {})
        self.faces = meta.get("faces", {})  # runs of older versions did not note them
        if self.rank.number == 0:  # it may have been stopped between checkpoint and log
            write_log(self.folder / LOG, self.history)

    def work_on(self, splits: Mapping[str, Faces]) -> None:
        """Note the faces of each split; a run that goes on must have the same, in the same order.

        Raises:
            TrainingError: if they are others.
        """
        found = {split: fingerprint(faces) for split, faces in splits.items()}
        for split, ours in found.items():
            if (theirs := self.faces.get(split, ours)) != ours:
                raise TrainingError(
                    f"{self.folder}: began with other {split} faces ({theirs}, now {ours}); put the data "
                    "back as it was, or name another folder"
                )
        self.faces = found

    def be_taught_by(self, teachers: dict[str, str]) -> None:
        """Note the teachers, names by their files' SHA-256; a run that goes on must have the same.

        Raises:
            TrainingError: if they are others.
        """
        if self.history and teachers != self.teachers:
            theirs, ours = (
                ", ".join(f"{name} ({digest[:12]})" for digest, name in group.items()) or "none"
                for group in (self.teachers, teachers)
            )
            raise TrainingError(
                f"{self.folder}: was taught by {theirs}, distill.teachers now gives {ours}; "
                "put the files back or name another folder"
            )
        self.teachers = teachers

    def finish_epoch(self, record: EpochRecord) -> None:
        """Log and save; averaged weights go to ``best.safetensors`` if no earlier epoch was better.

        Raises:
            TrainingError: if what was learnt is not finite, in which case no file is changed, or it cannot
                be written.
        """
        self._require_finite(record.valid_loss)
        self.history.append(record)
        if self.rank.number == 0:
            try:
                self._write(record)
            except (checkpoint.CheckpointError, OSError) as error:
                raise TrainingError(
                    f"{error}; {self.place.kept}: make room, or mend what is wrong there, and go on with "
                    "--resume"
                ) from error
        self.place.saved = True

    def _require_finite(self, valid_loss: float) -> None:
        """Refuse an epoch after which something is not finite, on all ranks or none."""
        device = self.fabric.device
        broken = {
            "a weight or statistic": _count_broken([*_tensors(self.bare), *_tensors(self.loss)]),
            "an averaged weight or statistic": _count_broken(_tensors(self.averaged)),
            "the loss on the validation faces": _count_broken([torch.tensor(valid_loss, device=device)]),
        }
        ranks = collectives.total(torch.stack(list(broken.values()))).tolist()  # one question to the device
        for what, found in zip(broken, ranks, strict=True):
            if found:
                raise TrainingError(f"{self.place}: {not_finite(what, self.place, self.recipe)}")

    def _write(self, record: EpochRecord) -> None:
        meta: dict[str, Any] = {
            "format": FORMAT,
            "commit": self.commit,
            "precision": self.precision,
            "scaler": self.fabric.strategy.precision.state_dict(),
            "changed": self.changed,
            "ranks": self.rank.count,
            "teachers": self.teachers,
            "faces": self.faces,
            "recipe": json.loads(self.recipe.model_dump_json()),
            "label_set": self.labels.name,
            "labels": list(self.labels.expressions),
            "epoch": record.epoch,
            "valid_accuracy": record.valid_accuracy,
        }
        if self.best is record:
            weights = dict(self.averaged.module.state_dict())
            checkpoint.save(self.folder / BEST, weights, meta)
        tensors = {
            **checkpoint.with_prefix("model", self.bare.state_dict()),
            **checkpoint.with_prefix("loss", self.loss.state_dict()),
            **checkpoint.with_prefix("averaged", self.averaged.state_dict()),
            **checkpoint.with_prefix("optimizer", checkpoint.optimizer_tensors(self.optimizer)),
        }
        checkpoint.save(self.folder / LAST, tensors, {**meta, "history": [asdict(r) for r in self.history]})
        self.place.saved = True  # even if the log cannot be written
        write_log(self.folder / LOG, self.history)


def _cross_entropy(recipe: Recipe, targets: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return BalancedCrossEntropy(targets, recipe.balance) if recipe.balance else soft_cross_entropy


def _tensors(module: nn.Module) -> list[Tensor]:
    """What a module has learnt or counted, in numbers that may cease to be finite."""
    return [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]


def _count_broken(tensors: list[Tensor]) -> Tensor:
    """How many tensors hold NaN or infinite values, on the device."""
    return torch.stack([~torch.isfinite(tensor).all() for tensor in tensors]).sum()

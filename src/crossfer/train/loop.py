"""The training loop: batch -> augment -> model -> losses -> step -> average -> validate -> checkpoint."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crossfer.labels import LabelSet
from crossfer.method import CrossLayerLoss, CrossLayerNet, FeatureError, LossTerms, build_model
from crossfer.provenance import code_commit
from crossfer.runtime.preprocess import InputContract, normalize
from crossfer.train import checkpoint
from crossfer.train.augment import Augment, mixup
from crossfer.train.config import ModelConfig, Recipe, filled
from crossfer.train.device import Precision, choose_device, choose_precision
from crossfer.train.loader import FaceTensors, batches
from crossfer.train.optim import build_optimizer, learning_rate, ramped_ema
from crossfer.train.start import start_from

FORMAT = 2  # of a run's checkpoints; 1 kept the momentum under other names
_KEPT = "the last whole epoch is kept: lower optim.lr and start again"


class TrainingError(ValueError):
    """Training that cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, given to the caller after each step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    images_per_second: float
    seconds_left: float
    valid_accuracy: float | None


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``log.csv``; losses are means over the epoch, accuracy (0..1) is the averaged weights'."""

    epoch: int
    loss: float
    classification: float
    feature_map: float
    batch: float
    valid_accuracy: float
    valid_loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: its folder, the chosen epoch, the validation accuracy there, all epochs."""

    folder: Path
    best_epoch: int
    best_accuracy: float
    precision: Precision
    history: tuple[EpochRecord, ...]


class Observer:
    """Looks on while a run trains, and changes nothing; this one does not even look."""

    def begin(self, net: CrossLayerNet, folder: Path, epoch: int) -> None:
        """Before the first step; ``epoch`` whole epochs are done already."""

    def before_backward(self) -> None:
        """Before the gradients of a step are computed."""

    def after_backward(self) -> None:
        """Once they are there, before they are clipped and used."""

    def finish_epoch(self) -> None:
        """Before the epoch's checkpoint is written."""


def input_contract(config: ModelConfig) -> InputContract:
    """The pre-processing that a model of this configuration is trained for and that its bundle asks for."""
    return InputContract(size=config.image_size, color=config.color)


def network(config: ModelConfig, num_classes: int) -> CrossLayerNet:
    """The network of a recipe, freshly initialised."""
    return build_model(
        num_classes=num_classes,
        image_size=config.image_size,
        in_channels=1 if config.color == "gray" else 3,
        depth=config.depth,
        width=config.width,
        stem=config.stem,
        dim=config.dim,
        grid=config.grid,
        weighting=config.weighting,
        embed_norm=config.embed_norm,
        batch_mean=config.batch_mean,
        branch=config.branch,
    )


def train(
    recipe: Recipe,
    labels: LabelSet,
    train_faces: FaceTensors,
    valid_faces: FaceTensors,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
    observer: Observer | None = None,
) -> RunResult:
    """Train a recipe, choosing the checkpoint on the validation faces.

    Everything random in an epoch follows from the seed and the epoch's number, so a run that was stopped goes
    on from its last whole epoch as if nothing had happened.

    Args:
        recipe: what to train and how.
        labels: the class order of the targets.
        train_faces: what is learnt from.
        valid_faces: what epochs are compared on.
        folder: ``last.safetensors`` (to resume), ``best.safetensors`` (averaged weights, to export),
            ``log.csv``.
        resume: go on from ``last.safetensors``.
        report: called after every step.
        observer: looks on.

    Raises:
        TrainingError: if the folder holds another run, or the loss is no longer finite.
    """
    optim = recipe.optim
    device = choose_device(optim.device)
    # Measured once a run: on resuming, the measurement might come out otherwise.
    wanted = (_recorded_precision(folder) if resume else None) or optim.precision
    precision = choose_precision(wanted, device)
    fabric = Fabric(accelerator=device, devices=1, precision=precision)
    torch.manual_seed(recipe.seed)
    run = _Run(recipe, labels, fabric, folder, precision=precision, observer=observer or Observer())
    run.start(resume)
    train_faces, valid_faces = train_faces.to(fabric.device), valid_faces.to(fabric.device)
    steps = max(1, len(train_faces) // optim.batch_size)

    while run.epoch < optim.epochs:
        began = time.perf_counter()
        torch.manual_seed(recipe.seed * 1_000_003 + run.epoch)
        run.generator.manual_seed(recipe.seed * 1_000_003 + run.epoch)
        run.net.train()
        sums = torch.zeros(4, device=fabric.device)
        for step, (images, targets) in enumerate(
            batches(train_faces, optim.batch_size, seed=recipe.seed, epoch=run.epoch)
        ):
            terms = run.step(images, targets, learning_rate(optim, run.epoch + step / steps))
            sums += torch.stack(terms).detach()
            per_step = (time.perf_counter() - began) / (step + 1)
            report(_progress(run, step, steps, sums / (step + 1), images=len(images), per_step=per_step))
        run.observer.finish_epoch()
        accuracy, valid_loss = validate(run.averaged.module, valid_faces, run.contract, fabric)
        loss, classification, feature_map, batch = (sums / steps).tolist()
        run.finish_epoch(
            EpochRecord(
                epoch=run.epoch + 1,
                loss=loss,
                classification=classification,
                feature_map=feature_map,
                batch=batch,
                valid_accuracy=accuracy,
                valid_loss=valid_loss,
                learning_rate=learning_rate(optim, run.epoch + (steps - 1) / steps),
                seconds=time.perf_counter() - began,
            )
        )
    return RunResult(folder, run.best.epoch, run.best.valid_accuracy, precision, tuple(run.history))


def require_free(folder: Path) -> None:
    """Refuse a folder that holds a run already, so that none is overwritten."""
    if (folder / "last.safetensors").exists():
        raise TrainingError(
            f"{folder}: holds a run already; add --resume to go on with it or name another folder"
        )


class _Run:
    """The moving parts of a run, and their way to disk and back."""

    def __init__(
        self,
        recipe: Recipe,
        labels: LabelSet,
        fabric: Fabric,
        folder: Path,
        *,
        precision: Precision,
        observer: Observer,
    ) -> None:
        self.recipe, self.labels, self.fabric, self.folder = recipe, labels, fabric, folder
        self.precision, self.observer = precision, observer
        self.contract = input_contract(recipe.model)
        bare = network(recipe.model, len(labels))
        if recipe.model.init is not None:
            start_from(recipe.model.init, bare, recipe.model, labels)
        # torch documents `memory_format`, but its type stubs leave it out.
        bare.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        method = recipe.method.model_dump()
        self.loss = CrossLayerLoss(
            num_classes=len(labels),
            channels=bare.encoder.channels,
            embedding_dim=recipe.model.dim,
            variant=recipe.variant,
            **method,
        ).to(fabric.device)
        optimizer = build_optimizer(nn.ModuleList([bare, self.loss]), recipe.optim)
        self.averaged = AveragedModel(
            bare, device=fabric.device, avg_fn=ramped_ema(recipe.optim.ema_decay), use_buffers=True
        )
        self.bare = bare
        self.net, self.optimizer = fabric.setup(bare, optimizer)
        self.augment = Augment(recipe.augment).to(fabric.device)
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

    def step(self, images: Tensor, targets: Tensor, rate: float) -> LossTerms:
        """One step of the optimiser on a batch of uint8 images (B, C, S, S)."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        faces, targets = mixup(self.augment(images.float() / 255), targets, self.recipe.augment.mixup)
        faces = normalize(faces * 255, self.contract).to(memory_format=torch.channels_last)
        try:
            # Not by way of Fabric's wrapper, whose hooks forbid the loss to ask for gradients of its own.
            with self.fabric.autocast():
                output = self.bare(faces)
            terms = self.loss(output, targets, self.generator)
        except FeatureError as error:
            raise TrainingError(f"epoch {self.epoch + 1}: {error}; {_KEPT}") from None
        if not torch.isfinite(terms.total):
            broken = [
                name for name, value in zip(terms._fields, terms, strict=True) if not torch.isfinite(value)
            ]
            raise TrainingError(
                f"the loss is no longer finite in epoch {self.epoch + 1} ({', '.join(broken)}); {_KEPT}"
            )
        self.optimizer.zero_grad()
        self.observer.before_backward()
        self.fabric.backward(terms.total)
        self.observer.after_backward()
        self.fabric.clip_gradients(self.net, self.optimizer, max_norm=self.recipe.optim.clip_norm)
        self.optimizer.step()
        self.averaged.update_parameters(self.bare)
        return terms

    def start(self, resume: bool) -> None:
        """Make the folder, or take up the run in it."""
        last = self.folder / "last.safetensors"
        if not resume:
            require_free(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume and last.exists():
            self._take_up(last)
        self.observer.begin(self.bare, self.folder, self.epoch)

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
        _refuse_other_recipe(filled(meta["recipe"]), self.recipe.model_dump(mode="json"), self.folder)
        if meta["label_set"] != self.labels.name:
            raise TrainingError(
                f"{self.folder}: was trained for {meta['label_set']}, the data now has {self.labels.name}; "
                "put the class folders back as they were, or name another folder"
            )
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
        _write_log(self.folder / "log.csv", self.history)


@torch.no_grad()
def validate(
    net: nn.Module, faces: FaceTensors, contract: InputContract, fabric: Fabric
) -> tuple[float, float]:
    """Accuracy in 0..1 and mean negative log-likelihood of the labels."""
    net.eval()
    logits = []
    for start in range(0, len(faces), 512):
        images = normalize(faces.images[start : start + 512].float(), contract)
        with fabric.autocast():
            logits.append(net(images.to(memory_format=torch.channels_last)).logits)
    scores = torch.cat(logits).float()
    accuracy = (scores.argmax(dim=1) == faces.labels).float().mean()
    return float(accuracy), float(nn.functional.cross_entropy(scores, faces.labels))


def _progress(run: _Run, step: int, steps: int, means: Tensor, *, images: int, per_step: float) -> Progress:
    """``images`` of a batch and mean seconds ``per_step`` so far give speed and time left."""
    left = (run.recipe.optim.epochs - run.epoch) * steps - step - 1
    total, classification, feature_map, batch = means.tolist()
    return Progress(
        epoch=run.epoch + 1,
        epochs=run.recipe.optim.epochs,
        step=step + 1,
        steps=steps,
        loss=total,
        classification=classification,
        feature_map=feature_map,
        batch=batch,
        images_per_second=images / per_step,
        seconds_left=left * per_step,
        valid_accuracy=run.history[-1].valid_accuracy if run.history else None,
    )


def _recorded_precision(folder: Path) -> str | None:
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


def _write_log(path: Path, history: list[EpochRecord]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(history[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: round(v, 6) for k, v in asdict(r).items()} for r in history)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.getvalue(), "utf-8")
    partial.replace(path)

"""The training loop: batch -> augment -> model -> losses -> step -> average -> validate -> checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from crossfer.labels import LabelSet
from crossfer.method import CrossLayerNet, FeatureError, LossTerms, build_model
from crossfer.runtime.preprocess import InputContract, normalize
from crossfer.train import checkpoint
from crossfer.train.augment import Augment, mixup
from crossfer.train.config import ModelConfig, Recipe
from crossfer.train.device import choose_device, choose_precision
from crossfer.train.faults import KEPT, TrainingError
from crossfer.train.loader import FaceTensors, batches
from crossfer.train.observer import Observer
from crossfer.train.optim import learning_rate
from crossfer.train.record import EpochRecord, Progress, RunResult
from crossfer.train.state import RunState, recorded_precision


def input_contract(config: ModelConfig) -> InputContract:
    """The pre-processing that a model of this configuration is trained for and that its bundle asks for."""
    return InputContract(size=config.image_size, color=config.color)


def network(config: ModelConfig, num_classes: int) -> CrossLayerNet:
    """The network of a recipe, freshly initialised or started from published encoder weights."""
    net = build_model(
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
    if config.init is not None:
        try:
            checkpoint.load_encoder(net.encoder, config.init)
        except checkpoint.CheckpointError as error:
            raise checkpoint.CheckpointError(f"model.init = {str(config.init)!r}: {error}") from None
    return net


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
    optim, observer = recipe.optim, observer or Observer()
    device = choose_device(optim.device)
    # Measured once a run: on resuming, the measurement might come out otherwise.
    wanted = (recorded_precision(folder) if resume else None) or optim.precision
    precision = choose_precision(wanted, device)
    fabric = Fabric(accelerator=device, devices=1, precision=precision)
    torch.manual_seed(recipe.seed)
    bare = network(recipe.model, len(labels))
    run = RunState(recipe, labels, bare, fabric, folder, precision=precision)
    run.start(resume)
    observer.begin(bare, folder, run.epoch)
    learn = _Step(run, observer)
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
            terms = learn(images, targets, learning_rate(optim, run.epoch + step / steps))
            sums += torch.stack(terms).detach()
            per_step = (time.perf_counter() - began) / (step + 1)
            report(_progress(run, step, steps, sums / (step + 1), images=len(images), per_step=per_step))
        observer.finish_epoch()
        accuracy, valid_loss = validate(
            run.averaged.module, valid_faces, input_contract(recipe.model), fabric
        )
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


class _Step:
    """One step of the optimiser on a batch of uint8 images (B, C, S, S) and targets (B, K)."""

    def __init__(self, run: RunState, observer: Observer) -> None:
        self.run, self.observer = run, observer
        self.contract = input_contract(run.recipe.model)
        self.augment = Augment(run.recipe.augment).to(run.fabric.device)

    def __call__(self, images: Tensor, targets: Tensor, rate: float) -> LossTerms:
        run = self.run
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        faces, targets = mixup(self.augment(images.float() / 255), targets, run.recipe.augment.mixup)
        faces = normalize(faces * 255, self.contract).to(memory_format=torch.channels_last)
        try:
            terms = run.loss(run.net(faces), targets, run.generator)
        except FeatureError as error:
            raise TrainingError(f"epoch {run.epoch + 1}: {error}; {KEPT}") from None
        if not torch.isfinite(terms.total):
            broken = [
                name for name, value in zip(terms._fields, terms, strict=True) if not torch.isfinite(value)
            ]
            raise TrainingError(
                f"the loss is no longer finite in epoch {run.epoch + 1} ({', '.join(broken)}); {KEPT}"
            )
        run.optimizer.zero_grad()
        self.observer.before_backward()
        run.fabric.backward(terms.total)
        self.observer.after_backward()
        run.fabric.clip_gradients(run.net, run.optimizer, max_norm=run.recipe.optim.clip_norm)
        run.optimizer.step()
        run.averaged.update_parameters(run.bare)
        return terms


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


def _progress(
    run: RunState, step: int, steps: int, means: Tensor, *, images: int, per_step: float
) -> Progress:
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

"""The training loop: batch -> augment -> model -> losses -> step -> average -> validate -> checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from crossfer.labels import LabelSet
from crossfer.method import LossTerms, collectives
from crossfer.train.config import Recipe
from crossfer.train.device import choose_device, choose_precision, open_fabric, part_at_exit
from crossfer.train.faults import STREAM_THEM, TrainingError, enough_memory, explained, room_for_the_network
from crossfer.train.loader import Waited, in_order, shuffled
from crossfer.train.network import network
from crossfer.train.observer import Observer
from crossfer.train.optim import learning_rate
from crossfer.train.ranks import this_rank
from crossfer.train.record import EpochRecord, Progress, RunResult
from crossfer.train.run_folder import LAST, alone_in, recorded_precision
from crossfer.train.start import start_from
from crossfer.train.state import RunState
from crossfer.train.step import Step
from crossfer.train.stream import Faces
from crossfer.train.teachers import Teachers, load_teachers
from crossfer.train.validate import validate, validate_views


def train(
    recipe: Recipe,
    labels: LabelSet,
    train_faces: Faces,
    valid_faces: Faces,
    folder: Path,
    *,
    resume: bool = False,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Train a recipe, choosing the checkpoint on the validation faces.

    Everything random in an epoch follows from the seed, the epoch's number and the rank, so a run that was
    stopped goes on from its last whole epoch as if nothing had happened. Started by ``torchrun``, each rank
    learns from its share of every batch and judges its share of the validation faces.

    Args:
        recipe: what to train and how.
        labels: the class order of the targets.
        train_faces: what is learnt from.
        valid_faces: what epochs are compared on.
        folder: ``last.safetensors`` (to resume), ``best.safetensors`` (averaged weights, to export),
            ``log.csv``.
        resume: go on from ``last.safetensors``.
        observers: look on, on rank 0.

    Raises:
        TrainingError: if the folder holds another run, or one of other faces, loss, gradient or what is
            learnt is no longer finite, or the machine gives up: memory, disk, a device or another rank.
        FolderInUseError: if another process trains into the folder now.
    """
    probed = any(observer.sees_gradients for observer in observers)
    _refuse_what_does_not_fit(recipe, len(train_faces), probed=probed)
    with alone_in(folder):
        with room_for_the_network():
            run = _open_run(recipe, labels, folder, resume, train_faces.targets)
            run.work_on({"train": train_faces, "valid": valid_faces})
            teachers = _open_teachers(run)
        _learn(run, teachers, train_faces, valid_faces, observers if run.rank.number == 0 else ())
        part_at_exit(run.fabric)
    best = run.best
    return RunResult(folder, best.epoch, best.valid_accuracy, run.precision, run.commit, tuple(run.history))


def _learn(
    run: RunState,
    teachers: Teachers | None,
    train_faces: Faces,
    valid_faces: Faces,
    observers: Sequence[Observer],
) -> None:
    """The epochs that are left."""
    recipe, fixed = run.recipe, run.recipe.distill.teaching == "fixed"
    with room_for_the_network():
        learn = Step(run, None if fixed else teachers, observers)
    for observer in observers:
        observer.begin(run.bare, run.folder, run.epoch)
        if run.history:
            observer.after_epoch(run.history[-1])
    with explained(run.place, recipe, run.rank):
        with enough_memory("the faces on the device", STREAM_THEM):
            train_faces, valid_faces = (faces.to(run.fabric.device) for faces in (train_faces, valid_faces))
        if fixed and teachers is not None and run.epoch < recipe.optim.epochs:
            train_faces = _taught(run, train_faces, teachers, observers)
        while run.epoch < recipe.optim.epochs:
            began = time.perf_counter()
            learnt = _learn_epoch(learn, train_faces)
            for observer in observers:
                observer.before_checkpoint()
            if run.epoch + 1 == recipe.optim.epochs:
                learn.require_change()
            run.place.step = 0
            judge = validate if run.views is None else validate_views
            judged = judge(learn, valid_faces)
            record = EpochRecord(
                run.epoch + 1,
                **learnt,
                **judged,
                learning_rate=learning_rate(recipe.optim, run.epoch + (run.steps - 1) / run.steps),
                seconds=time.perf_counter() - began,
            )
            run.finish_epoch(record)
            for observer in observers:
                observer.after_epoch(record)


def _open_run(recipe: Recipe, labels: LabelSet, folder: Path, resume: bool, targets: Tensor) -> RunState:
    """A run that is new, or taken up where it was."""
    device = choose_device(recipe.optim.device)
    # Measured once a run: on resuming, the measurement might come out otherwise.
    wanted = (recorded_precision(folder) if resume else None) or recipe.optim.precision
    precision = choose_precision(wanted, device)
    fabric = open_fabric(device, precision)
    torch.manual_seed(recipe.seed)
    bare = network(recipe.model, recipe.outputs(len(labels)))
    if recipe.model.init is not None and not (resume and (folder / LAST).exists()):
        start_from(recipe, bare, labels)
    run = RunState(recipe, labels, bare, fabric, folder, precision=precision, targets=targets)
    run.start(resume)
    return run


def _open_teachers(run: RunState) -> Teachers | None:
    """Those of the recipe, the same files as before where the run goes on."""
    if not run.recipe.distill.teachers:
        return None
    teachers = load_teachers(run.recipe.distill, run.labels)
    run.be_taught_by({teacher.sha256: teacher.name for teacher in teachers})
    return Teachers(teachers, run.recipe.distill)


def _taught(run: RunState, faces: Faces, teachers: Teachers, observers: Sequence[Observer]) -> Faces:
    """The same faces, with the teachers' share in their targets: fixed teachers answer once.

    Each rank asks about some of the faces. A run that goes on asks again.
    """
    rank, device = run.rank, run.fabric.device
    teachers.to(device)
    targets = torch.zeros_like(faces.targets)
    plan = in_order(len(faces), run.recipe.optim.batch_size // rank.count, rank)
    for number, (rows, batch) in enumerate(zip(plan, faces.read(plan), strict=True), start=1):
        images, given = batch
        with run.fabric.autocast():
            targets[rows.to(device)] = teachers.blend(images.float() / 255, given)
        for observer in observers:
            observer.after_answers(len(faces) * number // len(plan), len(faces))
    return replace(faces, targets=collectives.total(targets))


def _learn_epoch(learn: Step, faces: Faces) -> dict[str, float]:
    """What an epoch's record says of the learning: the loss and its terms, and the wait for faces."""
    began = time.perf_counter()
    run, optim = learn.run, learn.run.recipe.optim
    run.begin_epoch()
    plan = shuffled(len(faces), optim.batch_size, run.recipe.seed, run.epoch, run.rank)
    batches = Waited(faces.read(plan))
    sums = torch.zeros(4, device=run.fabric.device)
    for step, (images, targets) in enumerate(batches):
        run.place.step = step + 1
        sums += learn(images, targets, learning_rate(optim, run.epoch + step / run.steps))
        spent = time.perf_counter() - began
        for observer in learn.observers:
            observer.after_step(_progress(run, sums / (step + 1), len(images), spent, waited=batches.seconds))
    return _named(sums / run.steps) | {"data_wait": batches.seconds / (time.perf_counter() - began)}


def _named(terms: Tensor) -> dict[str, float]:
    """The loss and its terms, (4,), as records call them."""
    return dict(zip(("loss", *LossTerms._fields[1:]), terms.tolist(), strict=True))


def _progress(run: RunState, means: Tensor, images: int, spent: float, waited: float) -> Progress:
    """From the means so far, a batch's ``images`` on this rank, and the epoch's seconds, in all and idle."""
    epochs, step = run.recipe.optim.epochs, run.place.step
    return Progress(
        run.recipe.objective,
        run.epoch + 1,
        epochs,
        step,
        run.steps,
        **_named(means),
        images_per_second=run.rank.count * images * step / spent,
        data_wait=waited / spent,
        seconds_left=((epochs - run.epoch) * run.steps - step) * spent / step,
        valid_accuracy=run.history[-1].valid_accuracy if run.history else None,
    )


def _refuse_what_does_not_fit(recipe: Recipe, images: int, *, probed: bool) -> None:
    optim, count = recipe.optim, this_rank().count
    if optim.batch_size % (count * optim.accumulate):
        raise TrainingError(
            f"optim.batch_size = {optim.batch_size}: expected a multiple of {count * optim.accumulate}, for "
            f"{count} ranks and optim.accumulate = {optim.accumulate}"
        )
    if images < 2 * count:
        raise TrainingError(f"expected at least 2 training faces for each of {count} ranks, found {images}")
    if probed and (count > 1 or optim.accumulate > 1 or optim.compile):
        raise TrainingError(
            "gradients are noted in whole batches, by one process and uncompiled: start without torchrun, "
            "with optim.accumulate = 1 and optim.compile = false"
        )

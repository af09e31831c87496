"""One step of the optimiser: augment, recognise, lose, go back, clip, change the weights, average them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfer.method import Output, collectives
from crossfer.runtime.preprocess import standardize
from crossfer.train.augment import Augment, mixup
from crossfer.train.config import Recipe
from crossfer.train.faults import MORE_RANGE, TrainingError, not_finite
from crossfer.train.network import input_contract
from crossfer.train.observer import Observer
from crossfer.train.ranks import this_rank
from crossfer.train.state import RunState
from crossfer.train.teachers import Teachers


class Step:
    """Teaches a run by one batch.

    Args:
        run: what is taught.
        teachers: whose answers are part of the targets, if there are any.
        observers: look on.
    """

    def __init__(
        self,
        run: RunState,
        teachers: Teachers | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.run, self.observers = run, observers
        self.contract = input_contract(run.recipe.model)
        self.teachers = None if teachers is None else teachers.to(run.fabric.device)
        self.augment = Augment(run.recipe.augment).to(run.fabric.device)

    def __call__(self, images: Tensor, targets: Tensor, rate: float) -> Tensor:
        """Learn from this rank's share of a batch: from its faces, or from two views of each.

        Args:
            images: (B, C, S, S) uint8.
            targets: (B, K).
            rate: of learning.

        Returns:
            The loss and its terms, means over the batch of all ranks: (4,).

        Raises:
            TrainingError: if loss or gradient is not finite.
        """
        run, optim = self.run, self.run.recipe.optim
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        views = 1 if run.views is None else 2  # of each face, in the same part
        sizes = [views * size for size in _parts(len(images), optim.accumulate)]
        faces, targets = self._augmented(images, targets, views)
        run.optimizer.zero_grad()
        terms = torch.zeros(4, device=faces.device)
        parts = list(zip(faces.split(sizes), targets.split(sizes), strict=True))
        for number, (part, answers) in enumerate(parts, start=1):
            # The ranks exchange gradients once a step.
            with run.fabric.no_backward_sync(run.net, enabled=number < len(parts)):
                terms += self._accumulate(part, answers, share=len(part) / len(faces))
        run.average_gradients_of_loss()
        self._clip(optim.clip_norm)
        self._change()
        run.average_statistics()
        run.averaged.update_parameters(run.bare)
        return terms

    def _augmented(self, images: Tensor, targets: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """What the network sees of a batch, and what it is to answer.

        Args:
            images: (B, C, S, S) uint8.
            targets: (B, K) of the data set.
            views: of each face; they become neighbours.

        Returns:
            Normalised faces (views * B, C, S, S) float32 and targets (views * B, K), the teachers' share in
            them.
        """
        if views > 1:
            images, targets = (given.repeat_interleave(views, dim=0) for given in (images, targets))
        faces, targets = mixup(self.augment(images.float() / 255), targets, self.run.recipe.augment.mixup)
        if self.teachers is not None:
            with self.run.fabric.autocast():
                targets = self.teachers.blend(faces, targets)
        return self.as_input(faces), targets

    def as_input(self, faces: Tensor) -> Tensor:
        """Faces (B, C, S, S) in 0..1 as the network sees them."""
        return standardize(faces, self.contract).to(memory_format=torch.channels_last)

    def _accumulate(self, faces: Tensor, targets: Tensor, share: float) -> Tensor:
        """Add the gradient of one part of the batch, in proportion to its share of it."""
        run = self.run
        output = run.net(faces)
        if run.precision != "32-true":
            output = _unhooked(output)
        terms = run.loss(output, targets, run.generator)
        # The same on all ranks, so that all stop or none.
        values = collectives.mean(torch.stack(terms).detach())
        if not torch.isfinite(values[0]):
            broken = [
                name
                for name, finite in zip(terms._fields, torch.isfinite(values).tolist(), strict=True)
                if not finite
            ]
            self._stop("the loss", broken)
        for observer in self.observers:
            observer.before_backward()
        run.fabric.backward(terms.total * share)
        for observer in self.observers:
            observer.after_backward(run.gradient_scale)
        return values * share

    def _clip(self, norm: float) -> None:
        """Shorten the gradient of all that is learnt, the projections of the losses too."""
        run = self.run
        found = run.fabric.clip_gradients(run.net, run.optimizer, max_norm=norm, error_if_nonfinite=False)
        # In float16 a gradient may overflow; the scaler then leaves out the step and scales less.
        if run.precision != "16-mixed" and not (found is None or torch.isfinite(found)):
            self._stop("the gradient")

    def _change(self) -> None:
        """Change the weights; in float16 the scale falls instead where the gradient is not finite."""
        run = self.run
        before = run.gradient_scale
        run.optimizer.step()
        after = run.gradient_scale
        if after >= before:
            run.changed = True
        elif after < 1:
            self._stop_in_float16("even where it is scaled down")

    def require_change(self) -> None:
        """Refuse to end a run none of whose steps has changed the weights.

        Raises:
            TrainingError: if the gradient overflowed in all steps, those before it was resumed too.
        """
        if not self.run.changed:
            self._stop_in_float16("in every step")

    def _stop_in_float16(self, when: str) -> None:
        place = self.run.place
        raise TrainingError(f"{place}: the gradient overflows in float16 {when}; {place.kept}: {MORE_RANGE}")

    def _stop(self, what: str, terms: Sequence[str] = ()) -> None:
        place = self.run.place
        raise TrainingError(f"{place}: {not_finite(what, place, self.run.recipe, terms)}")


def compared_at_once(recipe: Recipe, images: int) -> int:
    """How many faces, or views of them, the loss compares at once where they are fewest.

    Args:
        recipe: what is trained.
        images: there are to learn from, two at least for each rank.
    """
    ranks = this_rank().count
    share = min(recipe.optim.batch_size, images) // ranks
    return ranks * min(_parts(share, recipe.optim.accumulate)) * (2 if recipe.objective == "views" else 1)


def _parts(faces: int, wanted: int) -> list[int]:
    """How many faces each part of a batch has: as alike as can be, and two at least, for batch norm."""
    parts = max(1, min(wanted, faces // 2))
    return [faces // parts + (number < faces % parts) for number in range(parts)]


def _unhooked(output: Output) -> Output:
    """The same tensors: a loss may take gradients at them, which Fabric forbids at what it hands out."""
    return output._replace(
        features=tuple(f.view_as(f) for f in output.features),
        embeddings=tuple(z.view_as(z) for z in output.embeddings),
    )

"""How an epoch is judged on the validation faces: by the labels, or by other views of the same faces."""

from __future__ import annotations

import torch
from torch import nn

from crossfer.method import collectives
from crossfer.metrics import accuracy, mean_class_accuracy
from crossfer.train.loader import in_order
from crossfer.train.ranks import seed_of
from crossfer.train.state import RunState
from crossfer.train.step import Step
from crossfer.train.stream import Faces


@torch.no_grad()
def validate(learn: Step, faces: Faces) -> dict[str, float]:
    """Accuracies in 0..1 and mean negative log-likelihood of the labels, of the averaged weights.

    Each rank judges some of the faces, as many at once as it learns from, since learning needs more memory.

    Args:
        learn: of the run that is judged; faces pass into the network as it passes them.
        faces: all of them, on the device of the run.
    """
    run, fabric = learn.run, learn.run.fabric
    net = run.averaged.module.eval()
    scores = torch.zeros(faces.targets.shape, device=fabric.device)
    plan = in_order(len(faces), _at_once(run), run.rank)
    for rows, (pixels, _) in zip(plan, faces.read(plan), strict=True):
        with fabric.autocast():
            scores[rows.to(fabric.device)] = net(learn.as_input(pixels.float() / 255)).logits.float()
    scores = collectives.total(scores)  # of each face one rank has them, the others have zeros
    truth, predicted = (values.cpu().numpy() for values in (faces.labels, scores.argmax(dim=1)))
    return {
        "valid_accuracy": accuracy(truth, predicted),
        "valid_mean_class_accuracy": mean_class_accuracy(truth, predicted),
        "valid_loss": float(nn.functional.cross_entropy(scores, faces.labels)),
    }


@torch.no_grad()
def validate_views(learn: Step, faces: Faces) -> dict[str, float]:
    """Share of views (0..1) that find the same face's other one first in their group, and their mean loss.

    The share goes by the name of the accuracy. Of the averaged weights, and the same views in the same groups
    of ``optim.batch_size`` faces after every epoch, whatever the ranks and the parts that batches are learnt
    in; each rank judges some of the groups.
    """
    run, fabric, views = learn.run, learn.run.fabric, learn.run.views
    net = run.averaged.module.eval()
    assert views is not None  # noqa: S101
    sums = torch.zeros(2, device=fabric.device)
    groups = in_order(len(faces), run.recipe.optim.batch_size, run.rank)
    for turn, (pixels, _) in enumerate(faces.read(groups)):
        torch.manual_seed(seed_of(run.recipe.seed, run.rank.number + turn * run.rank.count))
        images = learn.as_input(learn.augment(pixels.repeat_interleave(2, dim=0).float() / 255))
        with fabric.autocast():
            hidden = torch.cat([net(part).logits for part in images.split(2 * _at_once(run))])
        sums += torch.stack(views.judge(hidden))
    found, loss = (collectives.total(sums) / (2 * len(faces))).tolist()
    return {"valid_accuracy": found, "valid_loss": loss}


def _at_once(run: RunState) -> int:
    """How many faces this rank learns from at once, and so judges."""
    optim = run.recipe.optim
    return optim.batch_size // (optim.accumulate * run.rank.count)

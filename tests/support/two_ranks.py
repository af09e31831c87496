"""Started by ``torchrun``: what each rank of a tiny job finds, written to a folder for a test to compare.

In double precision, with batch norm in evaluation mode and k-means that starts from each set's first points.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from crossfer.method import CrossLayerLoss, collectives, kmeans
from crossfer.method.losses import soft_cross_entropy
from crossfer.train.device import open_fabric, part_at_exit
from crossfer.train.network import network
from crossfer.train.ranks import this_rank
from crossfer.train.views import ViewContrast
from support.toy_faces import LABELS, SIDE, toy_recipe

BATCH = 16


def first_points(points: Tensor, k: int, generator: object = None, among: object = None) -> Tensor:
    return points[:, :k].clone()


def gradients(tables: dict[str, Any]) -> dict[str, Tensor]:
    """Of the whole batch's loss, from this rank's share: of every weight, and the head's running mean."""
    rank = this_rank()
    torch.manual_seed(0)
    method = {"lambdas": (0.1, 0.1, 0.1), "k_feature_map": 2, **tables.get("method", {})}
    recipe = toy_recipe(**tables | {"method": method, "augment": {"mixup": 0.0}})
    net = network(recipe.model, recipe.outputs(len(LABELS))).double()
    loss = CrossLayerLoss(
        num_classes=3,
        channels=net.encoder.channels,
        embedding_dim=recipe.model.dim,
        objective=soft_cross_entropy if recipe.objective == "labels" else ViewContrast(recipe.views),
        **recipe.method.model_dump(),
    ).double()
    images = torch.randn(BATCH, 1, SIDE, SIDE, dtype=torch.float64)
    targets = torch.rand(BATCH, 3, dtype=torch.float64).softmax(dim=1)
    net.train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    fabric = open_fabric("cpu", "32-true")
    part_at_exit(fabric)
    wrapped = fabric.setup_module(net)
    mine = [x.chunk(rank.count)[rank.number] for x in (images, targets)]
    # Fabric brings inputs to single precision; the module below it does not.
    terms = loss(wrapped._forward_module(mine[0]), mine[1], torch.Generator().manual_seed(1))
    terms.total.backward()
    for parameter in loss.parameters():
        if parameter.grad is not None:
            parameter.grad = collectives.mean(parameter.grad)
    named = [*net.named_parameters(prefix="net"), *loss.named_parameters(prefix="loss")]
    found = {name: p.grad for name, p in named if p.grad is not None}
    found |= {"running_mean": net.head.running_mean, "terms": collectives.mean(torch.stack(terms).detach())}
    return {name: value.contiguous() for name, value in found.items()}


RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "stages": {"method": {"projection": "stage", "stop_gradient": False, "contrast": "cosine"}},
    "views": {"objective": "views", "views": {"hidden": 3, "dim": 2}},
}

if __name__ == "__main__":
    kmeans.plus_plus = first_points
    for name in sys.argv[2:]:
        save_file(gradients(RECIPES[name]), Path(sys.argv[1]) / f"{name}-{this_rank().number}.safetensors")

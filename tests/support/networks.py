"""Bundles of real networks that have learnt nothing: random weights of some size everywhere."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from crossfer.labels import FERPLUS
from crossfer.method import CrossLayerNet, build_model
from crossfer.method.collapse import collapse
from crossfer.runtime.bundle import BundleMeta, write_bundle
from crossfer.runtime.preprocess import InputContract
from crossfer.train.export import Inference, to_graph


def random_network() -> CrossLayerNet:
    torch.manual_seed(0)
    net = build_model(num_classes=8, image_size=48, in_channels=1, width=8, stem="small", dim=8, grid=6)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    net.train()
    for _ in range(5):
        net(torch.randn(16, 1, 48, 48))
    return net.eval()


def random_bundle(path: Path, *, mirror: bool = False) -> Path:
    """In single precision, with the FERPlus labels."""
    graph = to_graph(Inference(collapse(random_network()), mirror=mirror).eval(), (1, 48, 48))
    meta = BundleMeta(
        name="random",
        label_set=FERPLUS.name,
        labels=FERPLUS.expressions,
        input=InputContract(),
        temperature=1.5,
        grid=6,
        provenance={"data": "folder", "epoch": 3, "scores": {"valid": {"accuracy": 0.1}, "test": 0.2}},
    )
    write_bundle(graph.SerializeToString(), meta, path)
    return path

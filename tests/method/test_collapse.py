"""The collapsed network answers as the one that it was made from, in double precision to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossfer.method import CrossLayerNet, build_model
from crossfer.method.collapse import CollapsedMSR, collapse
from crossfer.method.head import BatchMean, Branch


def lively(net: CrossLayerNet) -> CrossLayerNet:
    """In evaluation mode and double precision, with nothing at the value at which it would not matter."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.double().eval()


@pytest.mark.parametrize(
    ("image_size", "stem", "width", "dim", "grid"),
    [
        (48, "small", 8, 6, 6),  # adapters on stages 3 and 4
        (48, "small", 16, 4, 6),  # an adapter on stage 4
        (48, "small", 32, 3, 6),  # none, so that channels are brought side by side
        (64, "standard", 16, 5, 11),
        (48, "small", 5, 2, 4),
    ],
)
@pytest.mark.parametrize(("weighting", "embed_norm"), [("adaptive", True), ("sum", False)])
@torch.no_grad()
def test_gives_the_same(
    image_size: int, stem: str, width: int, dim: int, grid: int, weighting: str, embed_norm: bool
) -> None:
    net = lively(
        build_model(
            num_classes=5,
            image_size=image_size,
            in_channels=1,
            width=width,
            stem=stem,  # type: ignore[arg-type]
            dim=dim,
            grid=grid,
            weighting=weighting,  # type: ignore[arg-type]
            embed_norm=embed_norm,
        )
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(3, 1, image_size, image_size, dtype=torch.float64)
    expected, found = net(images), collapse(net)(images)
    for name in ("logits", "evidence", "scale_weights"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
    for one, other in zip(found.embeddings, expected.embeddings, strict=True):
        torch.testing.assert_close(one, other)
    if weighting == "adaptive":
        assert expected.scale_weights.std() > 1e-3
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_holds_fewer_weights() -> None:
    net = build_model(num_classes=8, image_size=48, in_channels=1, width=32, stem="small", dim=64, grid=6)
    sizes = [sum(p.numel() for p in n.parameters()) for n in (net, collapse(net.eval()))]
    assert sizes[0] - sizes[1] > 70_000


@pytest.mark.parametrize("branch", ["msr", "gap", "msr+gap"])
@pytest.mark.parametrize("batch_mean", ["running", "none", "batch"])
@torch.no_grad()
def test_every_head_gives_the_same(branch: Branch, batch_mean: BatchMean) -> None:
    net = lively(
        build_model(
            num_classes=3,
            image_size=48,
            in_channels=1,
            width=8,
            stem="small",
            dim=4,
            grid=4,
            branch=branch,
            batch_mean=batch_mean,
        )
    )
    if batch_mean == "running" and branch != "gap":
        nn.init.normal_(net.get_buffer("head.running_mean"))
    collapsed = collapse(net)
    assert any(isinstance(module, CollapsedMSR) for module in collapsed.modules()) == (branch != "gap")
    images = torch.randn(3, 1, 48, 48, dtype=torch.float64)
    torch.testing.assert_close(collapsed(images).logits, net(images).logits)
    torch.testing.assert_close(collapsed(images).evidence, net(images).evidence)

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from crossfer.method.encoder import BasicBlock, ResNet, feature_sides


def batch_norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def torchvision_shapes(blocks: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of torchvision's resnet18 and resnet34 without ``fc``, by the rule that makes them."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from batch_norm("bn1", 64)
    before = 64
    for layer, count in enumerate(blocks, start=1):
        channels = 64 * 2 ** (layer - 1)
        for block in range(count):
            prefix = f"layer{layer}.{block}"
            yield f"{prefix}.conv1.weight", (channels, before, 3, 3)
            yield from batch_norm(f"{prefix}.bn1", channels)
            yield f"{prefix}.conv2.weight", (channels, channels, 3, 3)
            yield from batch_norm(f"{prefix}.bn2", channels)
            if before != channels:
                yield f"{prefix}.downsample.0.weight", (channels, before, 1, 1)
                yield from batch_norm(f"{prefix}.downsample.1", channels)
            before = channels


# Parameter counts without fc: torchvision publishes 11,689,512 and 21,797,672 with it (513,000).
@pytest.mark.parametrize(
    ("depth", "blocks", "parameters"),
    [
        (10, (1, 1, 1, 1), 4_905_792),  # that of depth 14 without a block of stage 3 and one of stage 4
        (14, (1, 1, 2, 2), 10_807_104),  # that of depth 18 without a block of stage 1 and one of stage 2
        (18, (2, 2, 2, 2), 11_176_512),
        (34, (3, 4, 6, 3), 21_284_672),
    ],
)
def test_state_has_torchvision_names_and_shapes(depth: int, blocks: tuple[int, ...], parameters: int) -> None:
    with torch.device("meta"):
        net = ResNet(depth=depth)
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == dict(torchvision_shapes(blocks))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_small_stem_differs_from_torchvision_in_the_first_kernel_alone() -> None:
    with torch.device("meta"):
        net = ResNet(stem="small")
    expected = dict(torchvision_shapes((2, 2, 2, 2))) | {"conv1.weight": (64, 3, 3, 3)}
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == expected


@pytest.mark.parametrize(
    ("size", "stem", "sides"),
    [
        (48, "small", (24, 12, 6, 3)),
        (64, "small", (32, 16, 8, 4)),
        (64, "standard", (16, 8, 4, 2)),
        (96, "small", (48, 24, 12, 6)),
        (96, "standard", (24, 12, 6, 3)),
        (224, "standard", (56, 28, 14, 7)),
    ],
)
def test_feature_sides_are_those_of_the_features(size: int, stem: str, sides: tuple[int, ...]) -> None:
    net = ResNet(width=2, in_channels=1, stem=stem).eval()
    features = net(torch.zeros(1, 1, size, size))
    assert [tuple(f.shape) for f in features] == [(1, 2 * 2**j, s, s) for j, s in enumerate(sides)]
    assert feature_sides(size, stem) == sides


@pytest.mark.parametrize(
    ("size", "stem", "unit"), [(224 + 16, "standard", 32), (50, "small", 16), (0, "small", 16)]
)
def test_image_size_that_does_not_fit_is_named(size: int, stem: str, unit: int) -> None:
    with pytest.raises(ValueError, match=rf"multiple of {unit} with the {stem} stem, got {size}$"):
        feature_sides(size, stem)


def test_stages_may_have_any_channels() -> None:
    net = ResNet(width=6, channels=(6, 10, 12, 12), depth=14, in_channels=1, stem="small").eval()
    assert [f.shape[1] for f in net(torch.zeros(1, 1, 48, 48))] == [6, 10, 12, 12]
    assert net.conv1.out_channels == 6
    doubled = ResNet(width=6, channels=(6, 12, 24, 48)).state_dict()
    assert {k: v.shape for k, v in doubled.items()} == {
        k: v.shape for k, v in ResNet(width=6).state_dict().items()
    }
    with pytest.raises(ValueError, match=r"those of 4 stages, got \[6, 12\]"):
        ResNet(width=6, channels=(6, 12))


def test_unknown_depth_and_stem_are_named() -> None:
    with pytest.raises(ValueError, match=r"one of \[10, 14, 18, 34\], got 50"):
        ResNet(depth=50)
    with pytest.raises(ValueError, match="'standard' or 'small', got 'big'"):
        ResNet(stem="big")


def test_kernels_begin_with_a_spread_that_keeps_gradients_as_large() -> None:
    """He et al. 2015, by what a kernel gives out: a variance of 2 / (channels out * area)."""
    net = ResNet(depth=10, width=32)
    for layer in (net.layer2[0].conv1, net.layer3[0].downsample[0], net.layer4[0].conv1):
        kernel = layer.weight.detach()
        out, _, height, width = kernel.shape
        assert float(kernel.std()) == pytest.approx((2 / (out * height * width)) ** 0.5, rel=0.05)


def test_shortcuts_are_strided_convolutions() -> None:
    block = ResNet(width=8, in_channels=1, stem="small").layer2[0].eval()
    assert isinstance(block, BasicBlock)
    assert block.downsample is not None
    x = torch.randn(2, 8, 12, 12)
    weight = block.downsample[0].weight
    shortcut = block.downsample[1](torch.nn.functional.conv2d(x, weight, stride=2))
    inner = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    torch.testing.assert_close(block(x), (inner + shortcut).relu())


def test_a_narrow_net_and_few_faces_leave_the_memory_whole() -> None:
    # In a process of its own: memory written past its end shows when it is freed, often at the end.
    program = """
import torch
from crossfer.method import ResNet
net = ResNet(width=8, in_channels=1, stem="small").to(memory_format=torch.channels_last)
for _ in range(8):
    net(torch.rand(3, 1, 48, 48).to(memory_format=torch.channels_last))[-1].sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

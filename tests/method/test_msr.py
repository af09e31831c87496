from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.method.msr import MSR, embed_shuffled, mean_of_convolution, patch_geometry
from reference.convolution import convolution
from reference.fusion import batch_norm, fuse, weighted_sum
from reference.pixel_shuffle import pixel_shuffle
from reference.scale_attention import scale_weights


def features(channels: tuple[int, ...], side: int, batch: int = 2) -> list[torch.Tensor]:
    """f_1 ... f_4 whose shuffles all have ``side``."""
    return [torch.randn(batch, c, side // 2**j, side // 2**j) for j, c in enumerate(channels, start=1)]


def parameters(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {k: v.numpy().astype(np.float64) for k, v in module.state_dict().items()}


def embed_naively(msr: MSR, maps: list[torch.Tensor], side: int, grid: int) -> list[np.ndarray]:
    p, embeddings = parameters(msr), []
    for j, f in enumerate(maps):
        adapted = f.numpy().astype(np.float64)
        if f"adapters.{j}.weight" in p:
            adapted = convolution(adapted, p[f"adapters.{j}.weight"], p[f"adapters.{j}.bias"])
        _, stride, padding = patch_geometry(side, grid, j + 1)
        shuffled = pixel_shuffle(adapted, 2 ** (j + 1))
        z = convolution(shuffled, p[f"embed.{j}.weight"], p[f"embed.{j}.bias"], stride, padding)
        if f"norm.{j}.weight" in p:
            z = batch_norm(z, p[f"norm.{j}.weight"], p[f"norm.{j}.bias"])
        embeddings.append(z)
    return embeddings


@pytest.mark.parametrize(
    ("channels", "side", "dim", "grid"),
    [
        ((4, 16, 64, 256), 16, 3, 3),  # divisible: no adapter
        ((5, 7, 9, 11), 16, 2, 5),  # adapters on every stage
        ((4, 8, 16, 32), 32, 1, 4),  # a narrow net; one channel
        ((8, 16, 32, 64), 16, 2, 16),  # a cell a pixel
    ],
)
@pytest.mark.parametrize("weighting", ["adaptive", "sum"])
@pytest.mark.parametrize("embed_norm", [True, False])
def test_agrees_with_its_naive_twin(
    channels: tuple[int, ...], side: int, dim: int, grid: int, weighting: str, embed_norm: bool
) -> None:
    msr = MSR(channels=channels, side=side, dim=dim, grid=grid, weighting=weighting, embed_norm=embed_norm)
    for norm in (m for m in msr.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    maps = features(channels, side)
    expected_embeddings = embed_naively(msr, maps, side, grid)
    p = parameters(msr)
    expected_weights = np.ones((2, 4))
    if weighting == "adaptive":
        attention = (p["attention_conv.weight"], p["attention_conv.bias"], p["attention_linear.weight"][0])
        expected_weights = scale_weights(expected_embeddings, *attention, p["attention_linear.bias"][0])
    z = weighted_sum(expected_embeddings, expected_weights)
    with torch.no_grad():
        fused, embeddings, weights = msr(maps)
    for ours, theirs in zip(embeddings, expected_embeddings, strict=True):
        assert ours.shape == (2, dim, grid, grid)
        # Batch norm divides by small spreads.
        np.testing.assert_allclose(ours, theirs, atol=1e-4 if embed_norm else 1e-5)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)
    expected = fuse(z, p["fuse.0.weight"], p["fuse.1.weight"], p["fuse.1.bias"])
    np.testing.assert_allclose(fused, expected, atol=1e-4)  # batch norm divides by small spreads


def test_a_stage_of_large_features_does_not_drown_the_others() -> None:
    channels = (4, 16, 64, 256)
    msr = MSR(channels=channels, side=16, dim=4, grid=4)
    first, *others = features(channels, 16, batch=8)
    for small, large in zip(
        msr([first, *others]).embeddings, msr([1e3 * first, *others]).embeddings, strict=True
    ):
        torch.testing.assert_close(small, large, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("channels", "side", "grid"),
    [
        ((4, 8, 16, 32), 32, 4),
        ((8, 16, 32, 64), 48, 6),
        ((16, 32, 64, 128), 48, 6),
        ((24, 48, 96, 192), 48, 6),
        ((32, 64, 128, 256), 48, 6),
        ((48, 96, 192, 384), 48, 6),
        ((32, 64, 128, 256), 64, 8),
        ((64, 128, 256, 512), 48, 6),
        ((64, 128, 256, 512), 112, 11),
    ],
)
def test_bfloat16_gives_the_embeddings_of_single_precision(
    channels: tuple[int, ...], side: int, grid: int
) -> None:
    msr = MSR(channels=channels, side=side, dim=16, grid=grid)
    maps = features(channels, side, batch=4)
    with torch.no_grad():
        exact = msr(maps).embeddings
        with torch.autocast("cpu", torch.bfloat16):
            mixed = msr([f.bfloat16() for f in maps]).embeddings
    for j, (ours, theirs) in enumerate(zip(mixed, exact, strict=True), start=1):
        assert ((ours - theirs).abs().mean() / theirs.abs().mean()) < 0.03, f"stage {j}"


@settings(derandomize=True, max_examples=100)
@given(
    st.integers(1, 3),
    st.integers(1, 7),
    st.integers(1, 6),
    st.integers(0, 6),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_embedding_is_the_convolution_of_the_shuffled_map(
    stage: int, kernel: int, stride: int, padding: int, even: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    r, factor = 2**stage, 2 if even else 1
    conv = torch.nn.Conv2d(2, 3, factor * kernel, factor * stride, factor * min(padding, kernel - 1)).double()
    f = torch.randn(2, 2 * r * r, 2, 2, dtype=torch.float64)
    if conv.kernel_size[0] > 2 * r + 2 * int(conv.padding[0]):
        return
    torch.testing.assert_close(embed_shuffled(f, conv, r), conv(F.pixel_shuffle(f, r)))


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_the_mean_of_a_convolution_needs_no_convolution(grid: int) -> None:
    conv = torch.nn.Conv2d(3, 3, 3, padding=1).double()
    z = torch.randn(4, 3, grid, grid, dtype=torch.float64)
    torch.testing.assert_close(mean_of_convolution(z, conv), conv(z).mean(dim=(2, 3)))


def test_scale_weights_differ_between_images_and_scales() -> None:
    msr = MSR(channels=(4, 16, 64, 256), side=16, dim=4, grid=4)
    weights = msr(features((4, 16, 64, 256), 16)).weights
    assert weights.shape == (2, 4)
    assert ((weights > 0) & (weights < 1)).all()
    assert len(weights.unique()) == 8


@pytest.mark.parametrize(
    ("channels", "adapted"),
    [
        ((64, 128, 256, 512), (64, 128, 256, 512)),
        ((32, 64, 128, 256), (32, 64, 128, 256)),
        ((8, 16, 32, 64), (8, 16, 64, 256)),
    ],
)
def test_adapters_bring_channels_to_the_next_multiple(
    channels: tuple[int, ...], adapted: tuple[int, ...]
) -> None:
    msr = MSR(channels=channels, side=16, dim=2, grid=4)
    found = tuple(adapt(f).shape[1] for adapt, f in zip(msr.adapters, features(channels, 16, 1), strict=True))
    assert found == adapted
    assert [isinstance(a, torch.nn.Identity) for a in msr.adapters] == [
        a == b for a, b in zip(channels, adapted, strict=True)
    ]


@settings(derandomize=True, max_examples=300)
@given(st.integers(1, 128), st.data(), st.integers(1, 4))
def test_patch_geometry_gives_the_grid_and_reads_every_pixel(
    side: int, data: st.DataObject, stage: int
) -> None:
    grid = data.draw(st.integers(1, side))
    kernel, stride, padding = patch_geometry(side, grid, stage)
    assert (side + 2 * padding - kernel) // stride + 1 == grid
    read = {start + i for start in range(-padding, -padding + grid * stride, stride) for i in range(kernel)}
    assert read >= set(range(side))
    assert padding < kernel


@pytest.mark.parametrize(
    ("side", "grid", "stage"), [(112, 11, 1), (112, 11, 4), (48, 6, 2), (24, 24, 1), (23, 20, 3)]
)
def test_patch_geometry_holds_for_a_real_convolution(side: int, grid: int, stage: int) -> None:
    kernel, stride, padding = patch_geometry(side, grid, stage)
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    cells = F.conv2d(image, torch.ones(1, 1, kernel, kernel), stride=stride, padding=padding)
    assert cells.shape[2:] == (grid, grid)
    cells.sum().backward()
    assert image.grad is not None
    assert (image.grad > 0).all()


@pytest.mark.parametrize("grid", [0, 17])
def test_grid_that_does_not_fit_is_named(grid: int) -> None:
    with pytest.raises(ValueError, match=rf"between 1 and the shuffled side 16, got {grid}$"):
        patch_geometry(16, grid, 1)


def test_unknown_weighting_is_named() -> None:
    with pytest.raises(ValueError, match="'adaptive' or 'sum', got 'max'"):
        MSR(channels=(4, 16, 64, 256), side=16, weighting="max")

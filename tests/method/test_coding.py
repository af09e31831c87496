from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.method.coding import encode, positions
from reference.coding import hash_codes, pooled_codes, soft_positions

TWINS = {"pooled": pooled_codes, "hash": hash_codes, "straight_through": hash_codes}


@pytest.mark.parametrize("coding", TWINS)
@pytest.mark.parametrize(
    ("channels", "side", "grid"), [(3, 3, 3), (5, 7, 3), (2, 12, 2), (4, 10, 4), (1, 5, 5)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_its_naive_twin(
    coding: str, channels: int, side: int, grid: int, dtype: torch.dtype
) -> None:
    f = torch.randn(2, channels, side, side, dtype=dtype)
    codes = encode(f, grid, coding)
    assert codes.dtype == dtype
    for image, found in zip(f.double().numpy(), codes, strict=True):
        np.testing.assert_allclose(found, TWINS[coding](image, grid), atol=1e-5)


@pytest.mark.parametrize(("dtype", "digit"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_half_precision_rounds_the_pooled_map_once(dtype: torch.dtype, digit: float) -> None:
    f = torch.rand(2, 6, 12, 12).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    codes, exact = encode(f, 3, "pooled"), encode(f.double(), 3, "pooled")
    assert codes.dtype == torch.float32
    np.testing.assert_allclose(codes.detach(), exact.detach(), rtol=2 * digit)
    (codes * torch.arange(9)).sum().backward()
    assert f.grad is not None
    assert f.grad.isfinite().all()


def test_hash_of_a_map_with_two_known_peaks() -> None:
    f = torch.zeros(1, 1, 5, 5)
    f[0, 0, 4, 0], f[0, 0, 1, 3] = 2.0, 1.0
    assert encode(f, 5, "hash").tolist() == [[[1.0, -1.0, -0.5, 0.5]]]


@pytest.mark.parametrize("grid", [2, 3, 7, 18])
def test_positions_fill_minus_one_to_one(grid: int) -> None:
    place = positions(grid, torch.zeros(1))
    assert place.shape == (grid * grid, 2)
    assert place[0].tolist() == [-1, -1]
    assert place[-1].tolist() == [1, 1]
    assert place[1].tolist() == pytest.approx(
        [-1, -1 + 2 / (grid - 1)], abs=1e-6
    )  # reading order: columns first
    torch.testing.assert_close(place.mean(dim=0), torch.zeros(2))


def test_pooled_codes_have_length_one_and_ignore_a_positive_factor() -> None:
    f = torch.rand(2, 6, 9, 9)
    codes = encode(f, 3, "pooled")
    torch.testing.assert_close(codes.norm(dim=-1), torch.ones(2, 6))
    torch.testing.assert_close(encode(f * 1000, 3, "pooled"), codes)


def test_pooled_gradient_is_right() -> None:
    f = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: encode(f, 3, "pooled"), f)


def test_straight_through_has_the_gradient_of_the_soft_positions() -> None:
    f = torch.randn(1, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(3, 4, dtype=torch.float64)
    (encode(f, 3, "straight_through")[0] * probe).sum().backward()
    assert f.grad is not None
    image, step = f.detach()[0].numpy(), 1e-6
    for index in [(0, 0, 0), (1, 3, 2), (2, 5, 5)]:
        shifted = [image.copy(), image.copy()]
        shifted[0][index] += step
        shifted[1][index] -= step
        up, down = ((soft_positions(s, 3) * probe.numpy()).sum() for s in shifted)
        assert float(f.grad[0][index]) == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_hash_has_no_gradient() -> None:
    assert not encode(torch.randn(1, 2, 4, 4, requires_grad=True), 2, "hash").requires_grad


@pytest.mark.parametrize("coding", TWINS)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_constant_maps_give_finite_codes_and_gradients(coding: str, value: float, bfloat16: bool) -> None:
    f = torch.full((2, 3, 6, 6), value, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        codes = encode(f.bfloat16() if bfloat16 else f, 3, coding)
    assert codes.dtype == torch.float32
    assert codes.isfinite().all()
    if coding != "hash":
        (codes * torch.randn_like(codes)).sum().backward()
        assert f.grad is not None
        # Finite would not do: one such channel would drown all others.
        assert f.grad.abs().max() < (1e6 if value else 1e-6)


@settings(derandomize=True, max_examples=25)
@given(st.permutations(range(5)), st.sampled_from(sorted(TWINS)))
def test_codes_follow_their_channel(order: list[int], coding: str) -> None:
    f = torch.randn(1, 5, 6, 6)
    assert torch.equal(encode(f[:, order], 3, coding), encode(f, 3, coding)[:, order])


@pytest.mark.parametrize(
    ("f", "grid", "coding", "message"),
    [
        (torch.zeros(2, 3, 4), 2, "pooled", r"\(B, C, H, W\) batch, got shape \(2, 3, 4\)"),
        (torch.zeros(0, 3, 4, 4), 2, "pooled", r"non-empty .* got shape \(0, 3, 4, 4\)"),
        (torch.zeros(1, 3, 4, 4), 1, "hash", "at least 2 x 2 positions, got 1 x 1"),
        (torch.zeros(1, 3, 4, 4), 2, "soft", "'pooled', 'straight_through' or 'hash', got 'soft'"),
    ],
)
def test_what_cannot_be_coded_is_named(f: torch.Tensor, grid: int, coding: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(f, grid, coding)

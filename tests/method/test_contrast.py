from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.method.contrast import Comparison, align, deep_centroids
from reference.contrast import contrast_loss

CONTRASTS = ("cosine", "infonce")


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize(("batch", "n", "d", "k"), [(1, 1, 2, 1), (3, 9, 2, 4), (2, 40, 9, 4), (1, 5, 3, 8)])
def test_agrees_with_its_naive_twin(contrast: str, batch: int, n: int, d: int, k: int) -> None:
    codes, centroids = torch.randn(batch, n, d), torch.randn(batch, k, d)
    expected = contrast_loss(contrast, list(codes.double().numpy()), list(centroids.double().numpy()), 0.3)
    found = align(codes, centroids, Comparison(contrast, temperature=0.3))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_identical_features_are_the_minimum_of_the_cosine_loss() -> None:
    codes = torch.randn(2, 1, 6).expand(2, 10, 6)
    centroids = codes[:, :4]
    assert float(align(codes, centroids, Comparison("cosine"))) == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_identical_features_give_infonce_log_k(k: int, temperature: float) -> None:
    codes = torch.randn(2, 1, 6).expand(2, 10, 6)
    found = align(codes, codes[:, :1].expand(2, k, 6), Comparison("infonce", temperature=temperature))
    assert float(found) == pytest.approx(math.log(k), abs=1e-5)


@pytest.mark.parametrize("k", [2, 4, 8])
def test_orthogonal_clusters(k: int) -> None:
    """Codes that sit on orthogonal centroids: every cosine is 1 with its own and 0 with the others."""
    centroids = torch.eye(k)[None]
    codes = centroids.repeat(1, 3, 1)
    assert float(align(codes, centroids, Comparison("cosine"))) == pytest.approx(-0.5, abs=1e-6)
    expected = math.log(math.exp(2.0) + k - 1) - 2.0
    assert float(align(codes, centroids, Comparison("infonce", temperature=0.5))) == pytest.approx(
        expected, abs=1e-5
    )


def test_one_cluster_leaves_infonce_nothing_to_tell_apart() -> None:
    assert float(align(torch.randn(2, 5, 3), torch.randn(2, 1, 3), Comparison("infonce"))) == 0.0


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_empty_clusters_give_no_term(contrast: str) -> None:
    """Codes near the first of two opposite centroids: the second is a negative for InfoNCE, no term."""
    centroids = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    codes = torch.tensor([[[1.0, 1.0], [1.0, -1.0]]])
    expected = -0.5 if contrast == "cosine" else math.log(math.exp(1) + math.exp(-1)) - 1
    assert float(align(codes, centroids, Comparison(contrast, temperature=1.0))) == pytest.approx(
        expected, abs=1e-6
    )


def test_infonce_tells_a_collapse_from_agreement_and_cosine_does_not() -> None:
    apart = torch.eye(4)[None]
    collapsed = torch.ones(1, 4, 4)
    cosine = [float(align(c, c, Comparison("cosine"))) for c in (apart, collapsed)]
    infonce = [float(align(c, c, Comparison("infonce"))) for c in (apart, collapsed)]
    assert cosine == pytest.approx([-0.5, -0.5], abs=1e-6)
    assert infonce[0] < 0.01
    assert infonce[1] > 1


@settings(derandomize=True, max_examples=30)
@given(st.lists(st.floats(0.01, 1000), min_size=2, max_size=2), st.sampled_from(CONTRASTS))
def test_scaling_a_set_of_codes_leaves_the_loss(factors: list[float], contrast: str) -> None:
    g = torch.Generator().manual_seed(0)
    codes, centroids = (torch.randn(2, n, 4, dtype=torch.float64, generator=g) for n in (9, 3))
    scale = torch.tensor(factors, dtype=torch.float64)[:, None, None]
    expected = align(codes, centroids, Comparison(contrast))
    torch.testing.assert_close(align(codes * scale, centroids, Comparison(contrast)), expected)
    torch.testing.assert_close(align(codes, centroids * scale, Comparison(contrast)), expected)


@settings(derandomize=True, max_examples=30)
@given(st.permutations(range(9)), st.permutations(range(3)), st.sampled_from(CONTRASTS))
def test_order_of_codes_and_of_centroids_does_not_matter(
    codes_order: list[int], order: list[int], contrast: str
) -> None:
    g = torch.Generator().manual_seed(0)
    codes, centroids = (torch.randn(2, n, 4, dtype=torch.float64, generator=g) for n in (9, 3))
    found = align(codes[:, codes_order], centroids[:, order], Comparison(contrast))
    torch.testing.assert_close(found, align(codes, centroids, Comparison(contrast)))


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_gradient_is_right(contrast: str) -> None:
    codes = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    centroids = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b: align(a, b, Comparison(contrast, temperature=0.5)), (codes, centroids)
    )


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_codes_give_a_finite_loss_and_gradient(contrast: str, value: float) -> None:
    codes = torch.full((2, 6, 4), value, requires_grad=True)
    loss = align(codes, deep_centroids(codes, 3), Comparison(contrast))
    loss.backward()
    assert loss.isfinite()
    assert codes.grad is not None
    assert codes.grad.isfinite().all()


def test_deep_centroids_carry_a_gradient_only_when_asked() -> None:
    codes = torch.randn(2, 9, 3, requires_grad=True)
    g = torch.Generator()
    taught = deep_centroids(codes, 3, stop_gradient=False, generator=g.manual_seed(0))
    fixed = deep_centroids(codes, 3, generator=g.manual_seed(0))
    assert taught.requires_grad
    assert not fixed.requires_grad
    np.testing.assert_allclose(taught.detach(), fixed, atol=1e-5)  # so few points converge in ten steps


def test_bad_settings_are_named() -> None:
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
            Comparison(temperature=temperature)
    with pytest.raises(ValueError, match="'infonce' or 'cosine', got 'triplet'"):
        Comparison("triplet")

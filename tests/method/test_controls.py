from __future__ import annotations

import pytest
import torch

from crossfer.method.clbs import clbs_loss
from crossfer.method.clfm import clfm_loss
from crossfer.method.contrast import Comparison
from crossfer.method.controls import another, exchanged_centroids, match_gradients

CONTROLS = ["permuted", "random"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("n", [2, 3, 17])
def test_another_is_always_another_and_each_is_taken_once(n: int) -> None:
    found = another(n, torch.device("cpu"), None)
    assert sorted(found.tolist()) == list(range(n))
    assert not (found == torch.arange(n)).any()


def test_one_alone_has_no_other() -> None:
    assert another(1, torch.device("cpu"), None).tolist() == [0]


def test_permuted_centroids_are_those_of_other_sets() -> None:
    centroids = torch.randn(5, 3, 4)
    found = exchanged_centroids(centroids, "permuted", generator())
    whose = [[i for i in range(5) if torch.equal(found[j], centroids[i])] for j in range(5)]
    assert all(len(owner) == 1 and owner != [j] for j, owner in enumerate(whose))


def test_random_centroids_keep_their_lengths_alone() -> None:
    centroids = torch.randn(5, 3, 40) * torch.tensor([0.1, 1, 10])[:, None]
    found = exchanged_centroids(centroids, "random", generator())
    torch.testing.assert_close(found.norm(dim=-1), centroids.norm(dim=-1))
    assert torch.cosine_similarity(found, centroids, dim=-1).abs().mean() < 0.3


def test_matched_gradients_are_of_the_same_size() -> None:
    x = torch.randn(7, requires_grad=True)
    real, control = (x**2).sum(), 100 * x.sin().sum()
    (matched,) = match_gradients([real], [control], [x])
    sizes = [torch.autograd.grad(t, x, retain_graph=True)[0].norm() for t in (real, matched)]
    torch.testing.assert_close(*sizes)


def test_a_control_without_gradient_stays_as_it_is() -> None:
    x = torch.randn(3, requires_grad=True)
    (matched,) = match_gradients([x.sum()], [(0 * x).sum() + 4], [x])
    assert matched.item() == 4


@pytest.mark.parametrize("target", CONTROLS)
@pytest.mark.parametrize("contrast", ["infonce", "cosine"])
def test_clfm_controls_pull_as_hard_and_elsewhere(target: str, contrast: str) -> None:
    maps = [torch.rand(3, c, s, s, requires_grad=True) for c, s in ((4, 12), (6, 6), (8, 4), (10, 3))]
    usual, exchanged = Comparison(contrast), Comparison(contrast, target=target)
    for j, x in ((1, maps[0]), (3, maps[2])):
        (real,) = clfm_loss(maps, [j], k=3, how=usual, generator=generator())
        (control,) = clfm_loss(maps, [j], k=3, how=exchanged, generator=generator())
        ours, theirs = (torch.autograd.grad(t, x, retain_graph=True)[0] for t in (real, control))
        torch.testing.assert_close(ours.norm(), theirs.norm(), rtol=1e-4, atol=1e-7)
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) < 0.99


@pytest.mark.parametrize("target", CONTROLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_clfm_controls_of_maps_in_half_precision_are_those_of_single(target: str, dtype: torch.dtype) -> None:
    """Gradients at maps with large values are small: below what float16 holds."""
    maps = [1000 * torch.rand(3, c, s, s) for c, s in ((4, 12), (6, 6), (8, 4), (10, 3))]
    half = [x.to(dtype).requires_grad_() for x in maps]
    single = [x.detach().float().requires_grad_() for x in half]
    found, expected = (
        clfm_loss(given, [1, 2], k=3, how=Comparison(target=target), generator=generator())
        for given in (half, single)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("target", CONTROLS)
@pytest.mark.parametrize("contrast", ["infonce", "cosine"])
def test_clbs_controls_pull_as_hard_and_elsewhere(target: str, contrast: str) -> None:
    vectors = [torch.randn(16, 12, requires_grad=True) for _ in range(4)]
    usual, exchanged = Comparison(contrast), Comparison(contrast, target=target)
    (real,) = clbs_loss(vectors, [2], k=4, how=usual, generator=generator())
    (control,) = clbs_loss(vectors, [2], k=4, how=exchanged, generator=generator())
    ours, theirs = (torch.autograd.grad(t, vectors[1], retain_graph=True)[0] for t in (real, control))
    torch.testing.assert_close(ours.norm(), theirs.norm(), rtol=1e-4, atol=1e-7)
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) < 0.99

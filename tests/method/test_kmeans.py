from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from crossfer.method.kmeans import cluster_means, kmeans, nearest, plus_plus
from reference.lloyd import inertia, lloyd


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("batch", "n", "d", "k"), [(1, 1, 1, 1), (3, 9, 2, 4), (2, 30, 4, 4), (2, 7, 5, 7), (1, 16, 1, 3)]
)
@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_agrees_with_its_naive_twin(batch: int, n: int, d: int, k: int, iterations: int) -> None:
    points = torch.randn(batch, n, d)
    start = points[:, :k] + 0.1
    found = kmeans(points, k, iterations=iterations, start=start)
    for i in range(batch):
        centroids, assignments = lloyd(points[i].double().numpy(), start[i].double().numpy(), iterations)
        np.testing.assert_allclose(found.centroids[i], centroids, atol=1e-5)
        assert found.assignments[i].tolist() == assignments


@pytest.mark.parametrize(("n", "d", "k"), [(64, 4, 4), (200, 9, 4), (128, 144, 8)])
def test_inertia_is_that_of_scikit_learn_from_the_same_start(n: int, d: int, k: int) -> None:
    points = torch.randn(2, n, d, dtype=torch.float64)
    start = plus_plus(points, k, generator())
    converged = kmeans(points, k, start=start, iterations=100)
    shipped = kmeans(points, k, start=start)
    for i in range(2):
        oracle = KMeans(k, init=start[i].numpy(), n_init=1, tol=0, algorithm="lloyd").fit(points[i].numpy())
        assert inertia(points[i].numpy(), converged.centroids[i].numpy()) == pytest.approx(
            oracle.inertia_, rel=1e-6
        )
        assert inertia(points[i].numpy(), shipped.centroids[i].numpy()) <= 1.02 * oracle.inertia_


def test_well_separated_clusters_are_found_from_any_start() -> None:
    centres = torch.tensor([[0.0, 0], [100, 0], [0, 100], [100, 100]])
    truth = torch.arange(4).repeat_interleave(10)
    points = (centres[truth] + torch.randn(40, 2))[None].repeat(5, 1, 1)
    assignments = kmeans(points, 4, generator=generator()).assignments
    for found in assignments:
        pairs = set(zip(truth.tolist(), found.tolist(), strict=True))
        assert len(pairs) == 4


def test_points_that_do_not_count_join_no_cluster_and_move_none() -> None:
    points = torch.cat([torch.randn(3, 12, 2), torch.full((3, 5, 2), 100.0)], dim=1)
    among = (torch.arange(17) < 12).expand(3, 17)
    found = kmeans(points, 4, generator=generator(), among=among)
    assert bool((found.assignments[:, 12:] == 4).all())
    assert bool((found.assignments[:, :12] < 4).all())
    assert float(found.centroids.abs().max()) < 50


def test_one_cluster_is_the_mean_and_as_many_as_points_are_the_points() -> None:
    points = torch.randn(3, 6, 2)
    torch.testing.assert_close(kmeans(points, 1, generator=generator()).centroids[:, 0], points.mean(dim=1))
    each = kmeans(points, 6, generator=generator())
    assert all(sorted(a.tolist()) == list(range(6)) for a in each.assignments)
    torch.testing.assert_close(
        each.centroids.gather(1, each.assignments[..., None].expand(-1, -1, 2)), points
    )


def test_a_cluster_without_points_keeps_its_centroid() -> None:
    start = torch.tensor([[[0.0, 0.0], [50.0, 50.0]]])
    found = kmeans(torch.rand(1, 8, 2), 2, start=start)
    assert found.centroids[0, 1].tolist() == [50, 50]
    assert (found.assignments == 0).all()


def test_start_spreads_over_distinct_points() -> None:
    """k-means++ cannot draw the same place twice while another is left."""
    points = torch.eye(4)[None].repeat(50, 3, 1)
    starts = plus_plus(points, 4, generator())
    assert all(len(start.unique(dim=0)) == 4 for start in starts)


def test_start_prefers_far_points() -> None:
    """With squared distances 1 and 9 to choose from, the far one is drawn nine times in ten."""
    points = torch.tensor([[0.0], [1.0], [-3.0]]).repeat(6000, 1, 1)
    starts = plus_plus(points, 2, generator())[..., 0]
    second = starts[starts[:, 0] == 0][:, 1]
    assert float((second == -3).float().mean()) == pytest.approx(0.9, abs=0.02)


def test_deterministic_under_a_generator() -> None:
    points = torch.randn(4, 20, 3)
    first, again, other = (kmeans(points, 5, iterations=1, generator=generator(s)) for s in (1, 1, 2))
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, other.centroids)


@settings(derandomize=True, max_examples=25)
@given(st.permutations(range(12)))
def test_permuting_points_permutes_assignments(order: list[int]) -> None:
    points = torch.randn(2, 12, 3, dtype=torch.float64, generator=generator())
    start = points[:, :4].clone()
    one, other = kmeans(points, 4, start=start), kmeans(points[:, order], 4, start=start)
    assert torch.equal(one.assignments[:, order], other.assignments)
    torch.testing.assert_close(one.centroids, other.centroids)


def test_sets_do_not_touch_each_other() -> None:
    points = torch.randn(3, 10, 2)
    together = kmeans(points, 3, start=points[:, :3])
    for i in range(3):
        alone = kmeans(points[i : i + 1], 3, start=points[i : i + 1, :3])
        assert torch.equal(alone.assignments[0], together.assignments[i])


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_identical_points_give_finite_centroids(value: float) -> None:
    found = kmeans(torch.full((2, 6, 3), value), 4, generator=generator())
    assert torch.equal(found.centroids, torch.full((2, 4, 3), value))
    assert (found.assignments == 0).all()


@pytest.mark.parametrize(
    ("shape", "k", "message"),
    [
        ((2, 5, 3), 6, "between 1 and the 5 points, got 6"),
        ((2, 5, 3), 0, "between 1 and the 5 points, got 0"),
        ((2, 0, 3), 1, r"non-empty \(B, N, d\) tensor, got shape \(2, 0, 3\)"),
        ((5, 3), 2, r"\(B, N, d\) tensor, got shape \(5, 3\)"),
    ],
)
def test_what_cannot_be_clustered_is_named(shape: tuple[int, ...], k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kmeans(torch.zeros(shape), k)


def test_start_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"start must have shape \(2, 3, 4\), got \(2, 4, 4\)"):
        kmeans(torch.randn(2, 9, 4), 3, start=torch.randn(2, 4, 4))


def test_nearest_takes_the_first_of_equals() -> None:
    assert nearest(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0], [0, 1.0]]])).tolist() == [[0]]


def test_cluster_means_and_their_gradient() -> None:
    points = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assignments = torch.tensor([[0, 0, 2, 2, 2], [1, 1, 1, 1, 1]])
    means, occupied = cluster_means(points, assignments, 3)
    assert occupied.tolist() == [[True, False, True], [False, True, False]]
    torch.testing.assert_close(means[0, 2], points[0, 2:].mean(dim=0))
    assert means[0, 1].tolist() == [0, 0, 0]
    assert torch.autograd.gradcheck(lambda p: cluster_means(p, assignments, 3)[0], points)

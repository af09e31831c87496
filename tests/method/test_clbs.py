from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crossfer.method.clbs import EmbeddingProjection, StageProjection, clbs_loss
from crossfer.method.contrast import Comparison
from crossfer.method.kmeans import plus_plus
from reference.clbs import centre, embedding_vectors, stage_vectors
from reference.clbs import clbs_loss as naive_clbs_loss


def vectors(batch: int, d: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return [torch.randn(batch, d, dtype=dtype) for _ in range(4)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(("dim", "grid"), [(1, 1), (3, 2), (5, 3)])
def test_embedding_projection_agrees_with_its_naive_twin(dim: int, grid: int) -> None:
    project = EmbeddingProjection(dim)
    kernel, bias = (p.detach().double().numpy() for p in (project.conv.weight, project.conv.bias))
    embeddings = [torch.randn(2, dim, grid, grid) for _ in range(4)]
    stages = [3, 1, 4]
    for j, found in zip(stages, project(embeddings, stages), strict=True):
        expected = embedding_vectors(embeddings[j - 1].double().numpy(), kernel, bias)
        np.testing.assert_allclose(found.detach(), expected, atol=1e-5)


def test_stage_projection_agrees_with_its_naive_twin() -> None:
    channels = (2, 3, 5, 7)
    project = StageProjection(channels, dim=6).double()
    state = {k: v.numpy() for k, v in project.state_dict().items()}
    features = [
        torch.randn(2, c, s, s, dtype=torch.float64) for c, s in zip(channels, (5, 4, 2, 1), strict=True)
    ]
    stages = [3, 1, 4]
    for j, found in zip(stages, project(features, stages), strict=True):
        kernel, bias = state[f"conv.{j - 1}.weight"], state[f"conv.{j - 1}.bias"]
        shared = state["linear.weight"], state["linear.bias"]
        expected = stage_vectors(features[j - 1].numpy(), kernel, bias, *shared)
        np.testing.assert_allclose(found.detach(), expected, atol=1e-5)


@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize(("batch", "d", "k"), [(1, 3, 1), (5, 2, 3), (16, 36, 8), (9, 4, 9)])
def test_agrees_with_its_naive_twin(contrast: str, batch: int, d: int, k: int) -> None:
    v = vectors(batch, d)
    start = plus_plus((v[3] - v[3].mean(dim=0))[None], k, generator())[0].numpy()
    found = clbs_loss(v, [1, 2, 3], k=k, how=Comparison(contrast), generator=generator())
    expected = [naive_clbs_loss(s.numpy(), v[3].numpy(), start, contrast=contrast) for s in v[:3]]
    assert [float(loss) for loss in found] == pytest.approx(expected, abs=1e-5)


def test_what_all_samples_share_does_not_count() -> None:
    v = vectors(12, 4)
    shifted = [x + 5 * (j + 1) for j, x in enumerate(v)]
    one, other = (clbs_loss(x, [1, 2], k=3, generator=generator()) for x in (v, shifted))
    torch.testing.assert_close(torch.stack(one), torch.stack(other))
    np.testing.assert_allclose(centre(shifted[0].numpy()), centre(v[0].numpy()), atol=1e-12)


def test_stages_that_agree_are_at_the_minimum() -> None:
    """Four samples on orthogonal axes are four clusters; centred, their cosines are 1 and -1/3."""
    same = [torch.eye(4, dtype=torch.float64)] * 4
    assert float(clbs_loss(same, [1], k=4, how=Comparison("cosine"))[0]) == pytest.approx(-0.5)
    expected = math.log(1 + 3 * math.exp(-4 / 3))
    assert float(clbs_loss(same, [1], k=4, how=Comparison(temperature=1.0))[0]) == pytest.approx(expected)


@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_teaches_the_stage_it_claims_to_and_no_other(contrast: str, stage: int) -> None:
    v = [x.requires_grad_() for x in vectors(10, 6)]
    clbs_loss(v, [stage], k=3, how=Comparison(contrast), generator=generator())[0].backward()
    for j, x in enumerate(v, start=1):
        if j == stage:
            assert x.grad is not None
            assert x.grad.isfinite().all()
            assert (x.grad.abs().amax(dim=1) > 1e-6).all()
        else:
            assert x.grad is None


def test_without_stop_gradient_the_deep_stage_is_taught_too() -> None:
    v = [x.requires_grad_() for x in vectors(10, 6)]
    clbs_loss(v, [2], k=3, how=Comparison(stop_gradient=False), generator=generator())[0].backward()
    assert v[3].grad is not None
    assert v[3].grad.isfinite().all()
    assert v[3].grad.abs().max() > 1e-6


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradient_is_right(stop_gradient: bool) -> None:
    shallow, deep = (x.requires_grad_() for x in vectors(7, 3)[:2])

    def loss(shallow: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        how = Comparison(temperature=0.5, stop_gradient=stop_gradient)
        return clbs_loss([shallow, deep], [1], k=3, how=how, generator=generator())[0]

    assert torch.autograd.gradcheck(loss, (shallow, deep if not stop_gradient else deep.detach()))


def test_a_batch_smaller_than_k_is_clustered_into_its_samples_with_a_warning() -> None:
    v = vectors(3, 4)
    with pytest.warns(UserWarning, match="8 clusters asked for in a batch of 3; using 3"):
        clamped = clbs_loss(v, [1], k=8, generator=generator())
    assert torch.equal(clamped[0], clbs_loss(v, [1], k=3, generator=generator())[0])


@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constant_vectors_give_finite_losses_and_gradients(contrast: str, dtype: torch.dtype) -> None:
    v = [torch.full((8, 5), 0.3, dtype=dtype).requires_grad_() for _ in range(4)]
    losses = torch.stack(clbs_loss(v, [1, 2, 3], k=4, how=Comparison(contrast, stop_gradient=False)))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in v)


@pytest.mark.parametrize("project", [EmbeddingProjection(3), StageProjection((3, 3, 3, 3), dim=6)])
def test_projections_take_half_precision_as_it_is_and_answer_in_their_own(project: torch.nn.Module) -> None:
    given = [torch.randn(2, 3, 6, 6).bfloat16() for _ in range(4)]
    whole = project([values.float() for values in given], [2, 4])
    for found, expected in zip(project(given, [2, 4]), whole, strict=True):
        assert torch.equal(found, expected)

from __future__ import annotations

import pytest
import torch

from crossfer.method.clfm import clfm_loss
from crossfer.method.coding import encode
from crossfer.method.contrast import Comparison
from crossfer.method.kmeans import plus_plus
from reference.clfm import clfm_loss as naive_clfm_loss


def features(batch: int, channels: tuple[int, ...], grid: int) -> list[torch.Tensor]:
    """f_1 ... f_4 in double precision, each side half of the one before, the last ``grid``."""
    sides = [grid * 2 ** (3 - j) for j in range(4)]
    return [torch.randn(batch, c, s, s, dtype=torch.float64) for c, s in zip(channels, sides, strict=True)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("coding", ["pooled", "hash", "straight_through"])
@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize(
    ("batch", "channels", "grid", "k"),
    [(1, (3, 4, 5, 6), 2, 1), (2, (4, 3, 7, 9), 3, 4), (3, (1, 1, 1, 5), 3, 5)],
)
def test_agrees_with_its_naive_twin(
    coding: str, contrast: str, batch: int, channels: tuple[int, ...], grid: int, k: int
) -> None:
    f = features(batch, channels, grid)
    starts = plus_plus(encode(f[3], grid, coding), k, generator()).numpy()
    found = clfm_loss(f, [1, 2, 3], k=k, coding=coding, how=Comparison(contrast), generator=generator())
    expected = [
        naive_clfm_loss(s.numpy(), f[3].numpy(), starts, coding=coding, contrast=contrast) for s in f[:3]
    ]
    assert [float(loss) for loss in found] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("coding", ["pooled", "straight_through"])
@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
def test_dead_channels_change_nothing(coding: str, contrast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without noise k-means starts from the first channel and those farthest from it, however many there are.
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda noise, **_: noise.fill_(1))
    f = features(2, (4, 4, 4, 16), 3)
    dead = [torch.cat([torch.zeros_like(m), m], dim=1) for m in f]
    options = {"k": 4, "coding": coding, "how": Comparison(contrast)}
    alone, beside = clfm_loss(f, [1, 2, 3], **options), clfm_loss(dead, [1, 2, 3], **options)
    torch.testing.assert_close(beside, alone, rtol=1e-12, atol=0)
    assert all(abs(float(loss)) > 1e-3 for loss in alone)
    nothing = clfm_loss([torch.zeros_like(m) for m in f], [1, 2, 3], **options)
    assert [float(loss) for loss in nothing] == [0, 0, 0]


def test_only_the_stages_asked_for_in_their_order() -> None:
    f = features(2, (4, 4, 4, 6), 2)
    one, two, three = clfm_loss(f, [1, 2, 3], generator=generator())
    assert [float(x) for x in clfm_loss(f, [3, 1], generator=generator())] == [float(three), float(one)]
    assert len({float(one), float(two), float(three)}) == 3


@pytest.mark.parametrize("coding", ["pooled", "straight_through"])
@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_teaches_the_stage_it_claims_to_and_no_other(coding: str, contrast: str, stage: int) -> None:
    f = [x.requires_grad_() for x in features(2, (4, 5, 6, 8), 3)]
    clfm_loss(f, [stage], coding=coding, how=Comparison(contrast), generator=generator())[0].backward()
    for j, x in enumerate(f, start=1):
        if j == stage:
            assert x.grad is not None
            assert x.grad.isfinite().all()
            assert all(image.abs().max() > 1e-6 for image in x.grad)
        else:
            assert x.grad is None


def test_without_stop_gradient_the_deep_stage_is_taught_too() -> None:
    f = [x.requires_grad_() for x in features(2, (4, 5, 6, 8), 3)]
    clfm_loss(f, [2], how=Comparison(stop_gradient=False), generator=generator())[0].backward()
    assert f[1].grad is not None
    assert f[3].grad is not None
    assert f[3].grad.isfinite().all()
    assert f[3].grad.abs().max() > 1e-6


def test_hash_codes_teach_nothing() -> None:
    f = [x.requires_grad_() for x in features(2, (4, 5, 6, 8), 3)]
    losses = clfm_loss(f, [1, 2, 3], coding="hash", how=Comparison(stop_gradient=False))
    assert not any(loss.requires_grad for loss in losses)


@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradient_is_right(contrast: str, stop_gradient: bool) -> None:
    f = features(1, (1, 1, 4, 6), 2)
    deep = f[3].requires_grad_(not stop_gradient)

    def loss(shallow: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        how = Comparison(contrast, temperature=0.5, stop_gradient=stop_gradient)
        return clfm_loss([*f[:2], shallow, deep], [3], k=3, how=how, generator=generator())[0]

    assert torch.autograd.gradcheck(loss, (f[2].requires_grad_(), deep))


def test_an_image_has_its_loss_whatever_its_batch() -> None:
    """Clusters are found in each image by itself; only the random start knows of the batch."""
    f = features(3, (4, 4, 4, 6), 2)
    together = clfm_loss(f, [2], k=1)[0]
    alone = [clfm_loss([x[i : i + 1] for x in f], [2], k=1)[0] for i in range(3)]
    torch.testing.assert_close(together, torch.stack(alone).mean())


@pytest.mark.parametrize("coding", ["pooled", "straight_through", "hash"])
@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_constant_features_give_finite_losses_and_gradients(coding: str, contrast: str, value: float) -> None:
    f = [
        torch.full_like(x, value, dtype=torch.bfloat16).requires_grad_() for x in features(2, (4, 4, 4, 8), 3)
    ]
    losses = clfm_loss(f, [1, 2, 3], coding=coding, how=Comparison(contrast, stop_gradient=False))
    assert torch.stack(losses).isfinite().all()
    if coding != "hash":
        torch.stack(losses).sum().backward()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in f)


def test_more_clusters_than_deep_channels_is_an_error() -> None:
    with pytest.raises(ValueError, match="between 1 and the 6 points, got 7"):
        clfm_loss(features(2, (4, 4, 4, 6), 2), [1], k=7)

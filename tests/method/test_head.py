from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.method.head import EvidenceHead, share_by_area
from reference.evidence import batch_mean, evidence, logits

DEEP = 5


def head_of(grid: int, classes: int, **options: str) -> EvidenceHead:
    """A head whose bias and running mean are not zero, so that leaving them out shows."""
    head = EvidenceHead(deep_channels=DEEP, grid=grid, num_classes=classes, **options)
    torch.nn.init.normal_(head.bias)
    if head.batch_mean == "running" and head.weight is not None:
        head.running_mean.normal_()
    return head


def arrays(head: EvidenceHead) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    bias, pooled = head.bias.detach().double().numpy(), head.pooled_weight
    nothing = np.zeros((len(bias), head.grid, head.grid))  # branch "gap" has no weight for the fused map
    weight = nothing if head.weight is None else head.weight.detach().double().numpy()
    return weight, bias, None if pooled is None else pooled.detach().double().numpy()


@pytest.mark.parametrize(
    ("batch", "dim", "grid", "classes", "deep_side"),
    [(1, 1, 1, 1, 1), (3, 5, 3, 2, 5), (2, 4, 6, 8, 3), (2, 3, 11, 7, 7)],
)
@pytest.mark.parametrize("branch", ["msr", "gap", "msr+gap"])
@pytest.mark.parametrize(
    ("mean", "training"), [("running", True), ("running", False), ("none", True), ("none", False)]
)
def test_agrees_with_its_naive_twin(
    batch: int, dim: int, grid: int, classes: int, deep_side: int, branch: str, mean: str, training: bool
) -> None:
    head = head_of(grid, classes, branch=branch, batch_mean=mean).train(training)
    x, deep = torch.randn(batch, dim, grid, grid), torch.randn(batch, DEEP, deep_side, deep_side)
    given_x, given_deep = x.double().numpy(), deep.double().numpy()
    mu = np.zeros((grid, grid))
    if mean == "running" and branch != "gap":
        mu = batch_mean(given_x) if training else head.running_mean.double().numpy()
    with torch.no_grad():
        found_logits, found_evidence = head(x, deep)
    np.testing.assert_allclose(found_evidence, evidence(given_x, given_deep, mu, *arrays(head)), atol=1e-5)
    np.testing.assert_allclose(found_logits, logits(given_x, given_deep, mu, *arrays(head)), atol=1e-5)


@pytest.mark.parametrize("mean", ["running", "none", "batch"])
def test_the_gradient_is_right_that_through_the_mean_of_the_batch_too(mean: str) -> None:
    head = head_of(3, 2, batch_mean=mean).double().train()
    x = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    deep = torch.randn(3, DEEP, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *maps: head(*maps)[0], (x, deep))


def test_running_mean_follows_the_batches_in_training_alone() -> None:
    head = EvidenceHead(deep_channels=2, grid=3, num_classes=2, momentum=0.25)
    x, deep = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    mean = x.mean(dim=(0, 1))
    head(x, deep)
    torch.testing.assert_close(head.running_mean, 0.25 * mean)
    head(x, deep)
    torch.testing.assert_close(head.running_mean, (0.25 + 0.75 * 0.25) * mean)
    before = head.running_mean.clone()
    head.eval()(x, deep)
    assert torch.equal(head.running_mean, before)


@settings(derandomize=True, max_examples=40)
@given(
    seed=st.integers(0, 999),
    grid=st.integers(1, 12),
    branch=st.sampled_from(["msr", "gap", "msr+gap"]),
    mean=st.sampled_from(["running", "none", "batch"]),
    bfloat16=st.booleans(),
    training=st.booleans(),
)
def test_evidence_sums_to_the_logits(
    seed: int, grid: int, branch: str, mean: str, bfloat16: bool, training: bool
) -> None:
    torch.manual_seed(seed)
    head = head_of(grid, 8, branch=branch, batch_mean=mean).train(training)
    x, deep = torch.randn(3, 8, grid, grid), torch.randn(3, DEEP, 7, 7)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        found, cells = head(*((t.bfloat16() if bfloat16 else t) for t in (x, deep)))
    assert found.dtype == cells.dtype == torch.float32
    np.testing.assert_allclose(cells.double().sum(dim=(2, 3)), found, atol=1e-5)


@settings(derandomize=True, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 13))
def test_sharing_by_area_keeps_the_sum_and_a_flat_map_flat(height: int, width: int, grid: int) -> None:
    cells = torch.rand(2, height, width, dtype=torch.float64)
    torch.testing.assert_close(share_by_area(cells, grid).sum((1, 2)), cells.sum((1, 2)))
    flat = share_by_area(torch.ones(height, width, dtype=torch.float64), grid)
    torch.testing.assert_close(flat, torch.full_like(flat, height * width / grid**2))


def test_double_precision_stays_double() -> None:
    head = EvidenceHead(deep_channels=2, grid=2, num_classes=3).double()
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64)
    assert all(out.dtype == torch.float64 for out in head(x, x))


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match="'running', 'none' or 'batch', got 'own'"):
        EvidenceHead(deep_channels=2, grid=2, num_classes=2, batch_mean="own")
    with pytest.raises(ValueError, match=r"'msr', 'gap' or 'msr\+gap', got 'pool'"):
        EvidenceHead(deep_channels=2, grid=2, num_classes=2, branch="pool")

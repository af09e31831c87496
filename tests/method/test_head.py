from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.method.head import EvidenceHead
from reference.evidence import batch_mean, evidence, logits


def head_of(dim: int, grid: int, classes: int, **options: str) -> EvidenceHead:
    """A head whose bias and running mean are not zero, so that leaving them out shows."""
    head = EvidenceHead(dim=dim, grid=grid, num_classes=classes, **options)
    torch.nn.init.normal_(head.bias)
    if head.batch_mean == "running":
        head.running_mean.normal_()
    return head


def arrays(head: EvidenceHead) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    weight, bias = (p.detach().double().numpy() for p in (head.weight, head.bias))
    pooled = head.pooled_weight
    return weight, bias, None if pooled is None else pooled.detach().double().numpy()


@pytest.mark.parametrize(
    ("batch", "dim", "grid", "classes"), [(1, 1, 1, 1), (3, 5, 3, 2), (2, 4, 6, 8), (2, 3, 11, 7)]
)
@pytest.mark.parametrize("branch", ["msr", "msr+gap"])
@pytest.mark.parametrize(
    ("mean", "training"), [("running", True), ("running", False), ("none", True), ("none", False)]
)
def test_agrees_with_its_naive_twin(  # noqa: PLR0917
    batch: int, dim: int, grid: int, classes: int, branch: str, mean: str, training: bool
) -> None:
    head = head_of(dim, grid, classes, branch=branch, batch_mean=mean).train(training)
    x = torch.randn(batch, dim, grid, grid)
    given_x = x.double().numpy()
    mu = np.zeros((grid, grid))
    if mean == "running":
        mu = batch_mean(given_x) if training else head.running_mean.double().numpy()
    with torch.no_grad():
        found_logits, found_evidence = head(x)
    np.testing.assert_allclose(found_evidence, evidence(given_x, mu, *arrays(head)), atol=1e-5)
    np.testing.assert_allclose(found_logits, logits(given_x, mu, *arrays(head)), atol=1e-5)


def test_running_mean_follows_the_batches_in_training_alone() -> None:
    head = EvidenceHead(dim=2, grid=3, num_classes=2, momentum=0.25)
    x = torch.randn(4, 2, 3, 3)
    mean = x.mean(dim=(0, 1))
    head(x)
    torch.testing.assert_close(head.running_mean, 0.25 * mean)
    head(x)
    torch.testing.assert_close(head.running_mean, (0.25 + 0.75 * 0.25) * mean)
    before = head.running_mean.clone()
    head.eval()(x)
    assert torch.equal(head.running_mean, before)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    seed=st.integers(0, 999),
    grid=st.integers(1, 12),
    branch=st.sampled_from(["msr", "msr+gap"]),
    mean=st.sampled_from(["running", "none"]),
    bfloat16=st.booleans(),
    training=st.booleans(),
)
def test_evidence_sums_to_the_logits(  # noqa: PLR0917
    seed: int, grid: int, branch: str, mean: str, bfloat16: bool, training: bool
) -> None:
    torch.manual_seed(seed)
    head = head_of(8, grid, 8, branch=branch, batch_mean=mean).train(training)
    x = torch.randn(3, 8, grid, grid)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        found, cells = head(x.bfloat16() if bfloat16 else x)
    assert found.dtype == cells.dtype == torch.float32
    np.testing.assert_allclose(cells.double().sum(dim=(2, 3)), found, atol=1e-5)


def test_double_precision_stays_double() -> None:
    head = EvidenceHead(dim=2, grid=2, num_classes=3).double()
    assert all(out.dtype == torch.float64 for out in head(torch.randn(1, 2, 2, 2, dtype=torch.float64)))


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match="'running' or 'none', got 'batch'"):
        EvidenceHead(dim=2, grid=2, num_classes=2, batch_mean="batch")
    with pytest.raises(ValueError, match=r"'msr' or 'msr\+gap', got 'gap'"):
        EvidenceHead(dim=2, grid=2, num_classes=2, branch="gap")

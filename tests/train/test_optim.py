from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.train.config import OptimConfig
from crossfer.train.network import network
from crossfer.train.optim import (
    Average,
    averaging,
    build_optimizer,
    decay_groups,
    equal_average,
    learning_rate,
    ramped_ema,
)
from support.toy_faces import LABELS, toy_recipe


def test_learning_rate_warms_up_in_a_line_then_follows_a_cosine_to_zero() -> None:
    optim = OptimConfig(lr=0.4, epochs=10, warmup_epochs=2)
    assert learning_rate(optim, 0) == pytest.approx(0.4 * 0.005)
    assert learning_rate(optim, 1) == pytest.approx(0.4 * 0.505)
    assert learning_rate(optim, 2) == pytest.approx(0.4)
    assert learning_rate(optim, 6) == pytest.approx(0.2)
    assert learning_rate(optim, 4) == pytest.approx(0.4 * (1 + math.sqrt(0.5)) / 2)
    assert learning_rate(optim, 10) == pytest.approx(0)


@settings(derandomize=True, max_examples=100)
@given(st.integers(1, 50), st.floats(0.001, 60), st.floats(0, 1))
def test_learning_rate_stays_positive_and_below_the_base(epochs: int, warmup: float, share: float) -> None:
    optim = OptimConfig(lr=0.1, epochs=epochs, warmup_epochs=warmup)
    rate = learning_rate(optim, epochs * share)
    assert 0 <= rate <= 0.1


def moved(average: Average, old: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """What an average, which is taken on in place, then is."""
    average([kept := old.clone()], [new], count)
    return kept


def test_ema_starts_as_a_short_average_and_ends_with_its_decay() -> None:
    average = ramped_ema(0.9)
    old, new = torch.tensor([1.0]), torch.tensor([2.0])
    assert float(moved(average, old, new, 1)) == pytest.approx(1 + 9 / 11)
    assert float(moved(average, old, new, torch.tensor(8))) == pytest.approx(1.5)
    assert float(moved(average, old, new, 10_000)) == pytest.approx(1.1)


def test_ema_matches_a_loop_and_takes_counters_as_they_are() -> None:
    average, averaged = ramped_ema(0.8), 0.0
    values = np.random.default_rng(0).normal(size=60)
    tracked = torch.zeros(1, dtype=torch.float64)
    for count, value in enumerate(values):
        decay = min(0.8, (1 + count) / (10 + count))
        averaged = decay * averaged + (1 - decay) * value
        tracked = moved(average, tracked, torch.tensor([value]), count)
    assert float(tracked) == pytest.approx(averaged)
    assert int(moved(average, torch.tensor(3), torch.tensor(9), 5)) == 9


def test_decay_is_for_matrices_and_kernels_alone() -> None:
    net = network(toy_recipe().model, len(LABELS))
    names = {id(p): name for name, p in net.named_parameters()}
    decayed, free = decay_groups(net, 0.01)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    found = [{names[id(p)] for p in group["params"]} for group in (decayed, free)]
    assert found[0] | found[1] == set(names.values())
    assert not found[0] & found[1]
    assert {"encoder.conv1.weight", "msr.embed.0.weight", "head.weight", "head.pooled_weight"} <= found[0]
    assert {"encoder.bn1.weight", "encoder.bn1.bias", "msr.embed.0.bias", "head.bias"} <= found[1]


def test_the_exponential_schedule_is_a_factor_an_epoch() -> None:
    optim = OptimConfig(lr=0.4, epochs=10, warmup_epochs=1, schedule="exponential", decay=0.5)
    assert learning_rate(optim, 0.5) == pytest.approx(0.4 * 0.51)
    assert [learning_rate(optim, e) for e in (1, 1.9, 2, 5.5)] == pytest.approx([0.4, 0.4, 0.2, 0.025])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_the_one_asked_for(name: str, kind: type) -> None:
    net = network(toy_recipe().model, len(LABELS))
    optimizer = build_optimizer(net, OptimConfig(optimizer=name, lr=0.01, weight_decay=0.02))
    assert type(optimizer) is kind
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.01, 0.02), (0.01, 0.0)]
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(net.parameters()))


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_momentum_is_nesterov_s_where_there_is_any(momentum: float) -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 2), OptimConfig(optimizer="sgd", momentum=momentum))
    assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(momentum, momentum > 0)}


def test_a_constant_schedule_warms_up_and_stays() -> None:
    optim = OptimConfig(lr=0.4, epochs=10, warmup_epochs=1, schedule="constant")
    assert [learning_rate(optim, e) for e in (0.5, 1, 5, 9.9)] == pytest.approx([0.4 * 0.51, 0.4, 0.4, 0.4])


@pytest.mark.parametrize("skipped", [0, 1, 7, 20])
def test_swa_is_the_mean_of_the_steps_after_its_start_and_the_last_one_before(skipped: int) -> None:
    values = torch.randn(20, dtype=torch.float64)
    average, averaged = equal_average(skipped), values[0]
    for count, value in enumerate(values[1:], start=1):
        averaged = moved(average, averaged, value, torch.tensor(count))
        expected = values[skipped : count + 1].mean() if count >= skipped else value
        assert float(averaged) == pytest.approx(float(expected))
    assert int(moved(average, torch.tensor(3), torch.tensor(9), 5)) == 9


def test_the_average_is_the_one_asked_for() -> None:
    old, new = torch.tensor([1.0]), torch.tensor([2.0])
    swa = averaging(OptimConfig(average="swa", swa_start=0.5, epochs=5), steps=10)
    assert float(moved(swa, old, new, 19)) == 2.0
    assert float(moved(swa, old, new, 21)) == pytest.approx(1.5)
    ema = averaging(OptimConfig(ema_decay=0.9), steps=10)
    assert float(moved(ema, old, new, 1000)) == pytest.approx(1.1)

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfer.video.smooth import Smoother
from reference.smoothing import smoothed

STEPS = st.lists(st.floats(0.001, 2), min_size=1, max_size=12)


def through(times, values, tau):
    smoother = Smoother(tau)
    return [smoother.smooth(1, time, value) for time, value in zip(times, values, strict=True)]


@given(STEPS, st.floats(0.05, 3), st.integers(0, 2**32 - 1))
def test_it_is_the_weighted_sum_that_defines_it(steps, tau, seed):
    times = np.cumsum(steps).tolist()
    values = np.random.default_rng(seed).dirichlet(np.ones(8), len(times))
    found = through(times, values, tau)[-1]
    assert found == pytest.approx(smoothed(times, values.tolist(), tau), abs=1e-9)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0


@given(st.integers(1, 60), st.floats(0.1, 2))
def test_the_frame_rate_does_not_matter(rate, tau):
    """A face that changes its expression once is as far along after a second at every rate."""
    before, after = np.eye(8)[0], np.eye(8)[1]
    times = [0.0, *(number / rate for number in range(1, rate + 1))]
    found = through(times, [before, *[after] * rate], tau)[-1]
    assert found[0] == pytest.approx(math.exp(-1 / tau))
    assert found[1] == pytest.approx(1 - math.exp(-1 / tau))


def test_an_even_rate_and_a_varying_one_end_alike():
    values = [np.eye(8)[0], *[np.eye(8)[3]] * 4]
    even = through([0, 0.25, 0.5, 0.75, 1.0], values, 0.5)[-1]
    varying = through([0, 0.01, 0.4, 0.41, 1.0], values, 0.5)[-1]
    assert even == pytest.approx(varying)


def test_no_time_constant_leaves_the_values_as_they_are():
    values = np.random.default_rng(0).dirichlet(np.ones(8), 5)
    assert np.array_equal(through(range(5), values, 0), values)


def test_people_do_not_mix():
    smoother = Smoother(1.0)
    smoother.smooth(1, 0.0, np.eye(8)[0])
    assert smoother.smooth(2, 0.1, np.eye(8)[5]).tolist() == np.eye(8)[5].tolist()


def test_its_state_survives_json_to_the_last_bit():
    smoother, again = Smoother(0.3), Smoother(0.3)
    rng = np.random.default_rng(1)
    for number in range(20):
        smoother.smooth(number % 3, number / 7, rng.dirichlet(np.ones(8)))
    again.restore(json.loads(json.dumps(smoother.to_dict())))
    value = rng.dirichlet(np.ones(8))
    assert (smoother.smooth(1, 4.0, value) == again.smooth(1, 4.0, value)).all()


def test_those_who_left_are_forgotten():
    smoother = Smoother(0.3)
    for number in range(10_000):
        smoother.smooth(number, number / 10, np.eye(8)[0])
        smoother.forget(number / 10)
    assert len(smoother.to_dict()) <= 101


def test_nobody_is_forgotten_who_still_counts():
    smoother = Smoother(60.0)
    smoother.smooth(1, 0.0, np.eye(8)[0])
    smoother.forget(11.0)
    assert smoother.smooth(1, 11.0, np.eye(8)[1])[1] == pytest.approx(1 - math.exp(-11 / 60))


@pytest.mark.parametrize("tau", [-1, math.nan, math.inf])
def test_bad_time_constants(tau):
    with pytest.raises(ValueError, match="expected a time constant of 0 or more seconds"):
        Smoother(tau)

from __future__ import annotations

import pytest
from scipy import stats

from crossfer.train.paired import paired_difference
from support.toy_results import toy_result


def test_differences_are_paired_by_seed_and_agree_with_scipy() -> None:
    ours = [toy_result("a", s, x) for s, x in enumerate((0.80, 0.82, 0.85))]
    theirs = [toy_result("b", s, x) for s, x in enumerate((0.79, 0.80, 0.84, 0.1))]
    found = paired_difference(ours, theirs)
    expected = stats.ttest_rel([0.80, 0.82, 0.85], [0.79, 0.80, 0.84])
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found.margin is not None
    assert found.seeds == 3
    assert found.mean - found.margin == pytest.approx(interval.low, abs=1e-6)
    assert found.mean + found.margin == pytest.approx(interval.high, abs=1e-6)
    assert found.excludes_zero == (expected.pvalue < 0.05)


def test_without_a_common_seed_there_is_no_difference() -> None:
    assert paired_difference([toy_result("a", 0, 0.5)], [toy_result("b", 1, 0.5)]) is None
    single = paired_difference([toy_result("a", 0, 0.5)], [toy_result("b", 0, 0.25)])
    assert single is not None
    assert (single.mean, single.margin, single.excludes_zero) == (0.25, None, False)

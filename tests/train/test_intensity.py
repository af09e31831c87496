from __future__ import annotations

from dataclasses import replace

from crossfer.train.intensity import conditions, intensity_table, ratio, verdict
from crossfer.train.trial_result import TrialResult
from support.toy_faces import toy_recipe


def test_the_conditions_differ_in_what_is_pulled_to() -> None:
    planned = dict(conditions(toy_recipe()))
    assert list(planned) == ["classification", "whole", "permuted", "random"]
    assert not any(planned["classification"].method.lambdas)
    assert planned["whole"] == toy_recipe()
    assert [planned[name].method.target for name in ("permuted", "random")] == ["permuted", "random"]


def result(row: str, seed: int, accuracy: float, shallow: float) -> TrialResult:
    rows = [{"maps": [shallow] * 3 + [2.0], "parameters": [shallow] * 3 + [1.0]}] * 2
    return TrialResult(
        row, seed, accuracy, accuracy, 1, 10, 5, 2, 1, "32-true", "abc", {}, {"intensity": rows}
    )


def study(whole: float, accuracy: float) -> list[TrialResult]:
    others = [result(row, s, 0.8, 1) for row in ("classification", "permuted", "random") for s in range(3)]
    return others + [result("whole", s, accuracy + s / 1000, whole) for s in range(3)]


def test_ratio_is_shallow_over_deep() -> None:
    assert ratio(result("whole", 0, 0.8, 3.0)) == 1.5
    assert ratio(result("whole", 0, 0.8, 3.0), of="parameters") == 3


def test_the_claim_needs_ratio_and_accuracy_in_every_seed() -> None:
    assert verdict(study(2, 0.9)).startswith("Claim 1 holds under this recipe.")
    assert verdict(study(0.5, 0.9)).startswith("Claim 1 does not hold")
    assert verdict(study(2, 0.799)).startswith("Claim 1 does not hold")
    flat = [{"maps": [2.0] * 3 + [2.0], "parameters": [1.0] * 3 + [1.0]}]
    on_maps_alone = [
        replace(r, observed={"intensity": flat}) if r.row == "whole" else r for r in study(2, 0.9)
    ]
    assert "ratio on parameters: the whole loss is above permuted in 0 of 3 seeds" in verdict(on_maps_alone)
    assert verdict(on_maps_alone).startswith("Claim 1 does not hold")
    one_behind = [
        replace(r, valid_accuracy=0.7) if (r.row, r.seed) == ("whole", 1) else r for r in study(2, 0.9)
    ]
    assert "above random in 2 of 3 seeds" in verdict(one_behind)
    assert verdict(one_behind).startswith("Claim 1 does not hold")
    assert verdict(study(2, 0.9)[:-1]).startswith("Not settled: 2 seeds have all four conditions")


def test_the_table_has_a_line_for_each_condition_and_both_measures() -> None:
    table = intensity_table([r for r in study(2, 0.9) if r.row != "random"]).splitlines()
    assert len(table) == 2 + 2 * 3 + 1
    assert table[4].startswith(
        "| whole | 3 | maps | 2.00e+00 | 2.00e+00 | 2.00e+00 | 2.00e+00 | 1.000 ± 0.000 | 90.10 ±"
    )
    assert table[-1].startswith("| random | not run |")
    assert len({line.count("|") for line in table}) == 1

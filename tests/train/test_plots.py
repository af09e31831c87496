"""What a study's picture shows: every condition at every stage, on the maps and on the parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossfer.train.intensity import CONDITIONS
from crossfer.train.plots import plot_intensity
from crossfer.train.trial_result import TrialResult


def result(row: str, seed: int) -> TrialResult:
    rows = [
        {"maps": [epoch + j + seed for j in range(4)], "parameters": [10.0 * (epoch + j) for j in range(4)]}
        for epoch in (1, 2, 3)
    ]
    return TrialResult(row, seed, 0.8, 0.8, 1, 10, 5, 3, 1, "32-true", "abc", {}, {"intensity": rows})


def test_intensity_is_drawn_on_maps_and_parameters_by_stage_and_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("crossfer.train.plots._save", lambda figure, _: drawn.append(figure))
    plot_intensity([result(row, seed) for row in CONDITIONS for seed in (0, 2)], tmp_path / "stages.svg")
    (figure,) = drawn
    maps, parameters = figure.axes[:4], figure.axes[4:]
    assert [axis.get_title() for axis in maps] == [f"stage {j}" for j in (1, 2, 3, 4)]
    assert maps[0].get_ylabel() == "learning intensity on the maps"
    assert parameters[0].get_ylabel() == "learning intensity on the parameters"
    for j in range(4):
        for axes, expected in (
            (maps, [epoch + j + 1 for epoch in (1, 2, 3)]),  # the mean of both seeds
            (parameters, [10 * (epoch + j) for epoch in (1, 2, 3)]),
        ):
            lines = axes[j].get_lines()
            assert [line.get_label() for line in lines] == list(CONDITIONS)
            for line in lines:
                assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2, 3], expected)

"""Accuracy by strength of corruption: measured as it says, and drawn in every form of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossfer.data.source import open_dataset
from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.figures import robustness_figure
from crossfer.evaluate.predictions import predict
from crossfer.evaluate.report import html_report, json_report, markdown_report
from crossfer.evaluate.result import CorruptionResult
from crossfer.evaluate.robustness import PASSES, curves, measure_robustness
from crossfer.evaluate.run_file import Run
from crossfer.labels import FERPLUS
from crossfer.runtime.recognizer import Recognizer
from data.layouts import write_class_folders

ACCURACY = {kind: tuple(0.8 - 0.1 * s - 0.01 * i for s in STRENGTHS) for i, kind in enumerate(CORRUPTIONS)}


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose corruptions are given."""
    root = write_class_folders(tmp_path_factory.mktemp("faces"), {"happiness": 3, "fear": 2})
    predictions = predict(Recognizer(tiny_model, detector="none"), open_dataset("folder", root))
    corrupted = CorruptionResult(0, ACCURACY, 0.47)
    result = replace(measure(predictions, None), corruptions=corrupted, accuracy=0.8)
    return Run("mine", result, predictions)


def test_each_pass_sees_every_image_as_that_corruption_leaves_it(tiny_model: Path, tmp_path: Path) -> None:
    root = write_class_folders(tmp_path, {"happiness": 2, "fear": 1})
    recognizer, dataset = Recognizer(tiny_model, detector="none"), open_dataset("folder", root)
    seen: list[int] = []
    found = measure_robustness(recognizer, dataset, seed=3, progress=seen.append)
    assert sum(seen) == PASSES * 3 == 7 * 5 * 3
    assert list(found.accuracy) == list(CORRUPTIONS)
    digests = predict(recognizer, dataset).digests
    for kind, strength in (("blur", 5), ("noise", 4), ("patch", 1)):
        worse = [
            corrupt(dataset.read(sample), kind, strength, digest=digest, seed=3)
            for sample, digest in zip(dataset.samples, digests, strict=True)
        ]
        answers = [answer.top(1)[0][0] for answer in recognizer.classify(worse)]
        right = [FERPLUS.index(a) == s.label for a, s in zip(answers, dataset.samples, strict=True)]
        assert found.accuracy[kind][strength - 1] == pytest.approx(np.mean(right))
    assert found.mean == pytest.approx(np.mean(list(found.accuracy.values())))


def test_a_curve_begins_with_the_images_as_they_are(run: Run) -> None:
    found = curves(run.result)
    assert list(found) == list(CORRUPTIONS)
    assert found["blur"] == pytest.approx((0.8, 0.7, 0.6, 0.5, 0.4, 0.3))
    assert curves(replace(run.result, corruptions=None)) == {}


def test_the_figure_has_a_line_a_kind_and_the_reference(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("crossfer.evaluate.figures.picture", lambda figure: drawn.append(figure) or b"png")
    assert robustness_figure(run.result) == b"png"
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"uncorrupted", *CORRUPTIONS}
    assert list(lines["uncorrupted"].get_ydata()) == [0.8, 0.8]
    assert list(lines["blur"].get_xdata()) == [0, *STRENGTHS]
    assert list(lines["rotation"].get_ydata()) == pytest.approx(curves(run.result)["rotation"])
    assert len({line.get_color() for line in axes.lines}) == len(lines)


def test_every_form_of_the_report_has_the_curves(run: Run) -> None:
    row = "| blur | 80.00 | 70.00 | 60.00 | 50.00 | 40.00 | 30.00 | 50.00 | ▇▆▅▅▄▃ |"
    text = markdown_report([run])
    assert row in text
    assert "(mean of 1 to 5, all kinds: 47.00 %)" in text
    page = html_report([run], {"mine": [("Robustness", b"png")]}, {})
    assert '<th scope="row">blur</th><td>80.00</td><td>70.00</td>' in page
    found = json.loads(json_report([run]))["robustness"]["mine"]
    assert found["strength"] == [0, 1, 2, 3, 4, 5]
    assert found["accuracy"]["blur"] == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    plain = Run("plain", replace(run.result, corruptions=None), run.predictions)
    assert "Robustness" not in markdown_report([plain])
    assert json.loads(json_report([plain]))["robustness"] == {}

"""Results as people read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfer.calibration import BiasTrial, softmax
from crossfer.console import as_text
from crossfer.evaluate.calibrate import FEWEST, Calibrated, calibrate
from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS
from crossfer.evaluate.evaluation import measure, measure_part
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.report import html_report, markdown_report
from crossfer.evaluate.result import CorruptionResult, EvaluationResult, EvidenceResult, LeakResult
from crossfer.evaluate.run_file import Run
from crossfer.evaluate.tables import calibration_tables, evaluation_tables, result_tables
from support.bundles import tiny_meta


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Answers of a model that is right more often than not, to images each of its own pixels."""
    rng, meta = np.random.default_rng(0), tiny_meta()
    truth = rng.integers(len(meta.labels), size=FEWEST)
    logits = (rng.normal(size=(FEWEST, len(meta.labels))) + 3 * np.eye(len(meta.labels))[truth]).astype("f4")
    about = About("toy", "valid", "as given", "none", meta.name, "abc", tuple(meta.labels))
    names = tuple(map(str, range(FEWEST)))
    return Predictions(about, names, names, truth, logits, softmax(logits), None)


@pytest.fixture(scope="module")
def calibrated(predictions: Predictions) -> Calibrated:
    return calibrate(tiny_meta(), predictions, None)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.01, "kept: NLL falls by 0.01000 +- 0.00300 in cross-validation"),
        (0.001, "not kept: NLL falls by 0.00100 +- 0.00300 in cross-validation"),
        (-0.00421, "not kept: NLL rises by 0.00421 +- 0.00300 in cross-validation"),
    ],
)
def test_what_a_bias_does_is_said_in_words(calibrated: Calibrated, gain: float, said: str):
    text = as_text(calibration_tables(replace(calibrated, bias_trial=BiasTrial(gain, 0.003))))
    assert f"bias for each class {said}\n" in text


@pytest.fixture(scope="module")
def result(predictions: Predictions, calibrated: Calibrated) -> EvaluationResult:
    """A result with everything in it."""
    part = measure_part(predictions.select(np.arange(FEWEST) < 20))
    gain = (0.1, (0.05, 0.15))
    return replace(
        measure(predictions, calibrated.calibration),
        subsets={"all others": part},
        leaks=LeakResult({"train": 2000, "valid": 300}, 5, part, None),
        corruptions=CorruptionResult(0, {kind: (0.1234,) * len(STRENGTHS) for kind in CORRUPTIONS}, 0.1234),
        evidence=EvidenceResult(300, 0, "mean color", 0.3, 0.4, gain, 0.7, 0.6, gain),
    )


def test_sets_say_that_they_are_about_the_images_with_a_face(result: EvaluationResult):
    titles = [[title for title, *_ in result_tables(replace(result, no_face=n).to_dict())] for n in (0, 3)]
    assert "prediction sets" in titles[0]
    assert f"prediction sets, of the {FEWEST - 3} images with a face" in titles[1]


def test_a_terminal_and_both_pages_show_the_same_tables(result: EvaluationResult, predictions: Predictions):
    text = as_text(evaluation_tables(result))
    lines = text.splitlines()
    run = Run("run", result.to_dict(), predictions)
    markdown, html = markdown_report([run]), html_report([run], {}, {})
    titles = []
    for title, heading, rows in result_tables(result.to_dict()):
        titles.append(title.split()[0])
        assert title in lines
        assert f"### {title[0].upper()}{title[1:]}\n" in markdown
        assert f"<h3>{title[0].upper()}{title[1:]}</h3>" in html
        for row in (heading, *rows):
            assert len(row) == len(heading)
            assert "".join("".join(row).split()) in [line.replace(" ", "") for line in lines]
            assert f"| {' | '.join(row)} |" in markdown
            assert all(f"{cell}</t" in html for cell in row)
    assert titles == ["parts", "prediction", "answers", "robustness:", "evidence", "each"]


def test_parts_have_the_names_of_what_was_looked_through(result: EvaluationResult):
    _, _, rows = next(result_tables(result.to_dict()))
    assert [row[0] for row in rows] == ["all others", "in train or valid too, also nearly", "all others"]
    assert rows[2][1:] == ("0", "-", "-", "-")
    assert "5 images lie pixel for pixel in train (2,000), valid (300) too" in as_text(
        evaluation_tables(result)
    )


def test_what_was_not_asked_for_has_no_table(predictions: Predictions):
    titles = [title for title, _, _ in result_tables(measure(predictions, None).to_dict())]
    assert titles == ["each class"]


def test_the_confusion_matrix_fits_a_terminal_of_80_columns(result: EvaluationResult):
    wide, narrow = (as_text(evaluation_tables(result, width)) for width in (100, 80))
    labels = result.about.labels
    assert wide.split("columns: predicted")[1].split()[: len(labels)] == list(labels)
    matrix = narrow.split("columns: predicted")[1]
    assert matrix.split()[: len(labels)] == [label[:3] for label in labels]
    assert max(map(len, matrix.splitlines())) <= 80

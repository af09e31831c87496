"""Results as people read them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from crossfer.calibration import BiasTrial, softmax
from crossfer.console import as_text
from crossfer.evaluate.calibrate import FEWEST, Calibrated, calibrate
from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS
from crossfer.evaluate.evaluation import measure, measure_part
from crossfer.evaluate.examples import Example
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.report import html_report, markdown_report
from crossfer.evaluate.result import (
    CorruptionResult,
    EvaluationResult,
    EvidenceResult,
    LeakResult,
    SubsetResult,
)
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


def test_calibration_says_where_abstention_cannot_be_told_from_a_class(calibrated: Calibrated):
    labels = ("uncertain", *calibrated.meta.labels[1:])
    named = replace(calibrated.meta, label_set="mine", labels=labels)
    text = as_text(calibration_tables(replace(calibrated, meta=named)))
    assert "a class is called 'uncertain', as abstention answers: --abstain will not work\n" in text
    assert "--abstain answers from" not in text


@pytest.fixture(scope="module")
def result(predictions: Predictions, calibrated: Calibrated) -> EvaluationResult:
    """A result with everything in it."""
    part = measure_part(predictions.select(np.arange(FEWEST) < 20))
    gain = (0.1, (0.05, 0.15))
    return replace(
        measure(predictions, calibrated.calibration),
        subsets={"all others": SubsetResult(**vars(part), names=25)},
        leaks=LeakResult({"train": 2000, "valid": 300}, 5, part, None),
        corruptions=CorruptionResult(0, {kind: (0.1234,) * len(STRENGTHS) for kind in CORRUPTIONS}, 0.1234),
        evidence=EvidenceResult(300, 0, "mean color", 0.3, 0.4, gain, 0.7, 0.6, gain),
    )


def test_sets_say_that_they_are_about_the_images_with_a_face(result: EvaluationResult):
    titles = [[title for title, *_ in result_tables(replace(result, no_face=n))] for n in (0, 3)]
    assert "prediction sets" in titles[0]
    assert f"prediction sets, of the {FEWEST - 3} images with a face" in titles[1]


def test_a_terminal_and_both_pages_show_the_same_tables(result: EvaluationResult, predictions: Predictions):
    text = as_text(evaluation_tables(result))
    lines = text.splitlines()
    run = Run("run", result, predictions)
    markdown, html = markdown_report([run]), html_report([run], {}, {})
    titles = []
    for title, heading, rows in result_tables(result):
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


def test_pages_have_the_confusion_matrix_in_figures(result: EvaluationResult, predictions: Predictions):
    result = replace(result, confusion=tuple(tuple(1000 * i + j for j in range(8)) for i in range(8)))
    run = Run("run", result, predictions)
    markdown, html = markdown_report([run]), html_report([run], {}, {})
    title = "Confusion: rows are the truth, columns the answers"
    assert f"### {title}\n\n| true | {' | '.join(result.about.labels)} |" in markdown
    assert f"<h3>{title}</h3>" in html
    for label, row in zip(result.about.labels, result.confusion, strict=True):
        cells = [f"{count:,}" for count in row]
        assert f"| {label} | {' | '.join(cells)} |" in markdown
        assert f'<th scope="row">{label}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' in html


def test_a_page_is_read_out_without_repeating_itself_and_scrolled_by_the_keyboard(
    result: EvaluationResult, predictions: Predictions
):
    example = Example("a.png", "fear", "fear", 0.9999, None, None)
    html = html_report(
        [Run("a <b>", result, predictions)], {"": [("Risk", b"png")]}, {"a <b>": [(example, b"png")]}
    )
    assert html.count("<main>") == html.count("</main>") == 1
    scrolled = re.findall('<div class="table" role="region" aria-label="(.+?)" tabindex="0"><table>', html)
    assert len(set(scrolled)) == html.count("<table>")
    assert "a &lt;b&gt;: Each class" in scrolled
    assert html.count('<img alt="" ') == html.count("<img ") == html.count("<figcaption>") == 2
    assert "<figcaption>fear, right (&gt;99.9%)</figcaption>" in html


def test_a_terminal_shows_the_digits_of_a_run_that_was_saved(result: EvaluationResult):
    """This one is 12.34 % if it is rounded at once, and 12.35 % by way of the six digits of a file."""
    result = replace(result, macro_f1=0.1234499999)
    saved = EvaluationResult.from_dict(json.loads(json.dumps(result.to_dict())))
    assert as_text(evaluation_tables(result)) == as_text(evaluation_tables(saved))
    assert "12.35 %" in as_text(evaluation_tables(result))


def test_parts_have_the_names_of_what_was_looked_through(result: EvaluationResult):
    _, _, rows = next(result_tables(result))
    assert [row[0] for row in rows] == ["all others", "in train or valid too, also nearly", "all others"]
    assert rows[2][1:] == ("0", "-", "-", "-")
    assert "5 images lie pixel for pixel in train (2,000), valid (300) too" in as_text(
        evaluation_tables(result)
    )


def test_what_was_not_asked_for_has_no_table(predictions: Predictions):
    titles = [title for title, _, _ in result_tables(measure(predictions, None))]
    assert titles == ["each class"]


def test_the_confusion_matrix_fits_a_terminal_of_80_columns(result: EvaluationResult):
    wide, narrow = (as_text(evaluation_tables(result, width)) for width in (100, 80))
    labels = result.about.labels
    assert wide.split("columns: predicted")[1].split()[: len(labels)] == list(labels)
    matrix = narrow.split("columns: predicted")[1]
    assert matrix.split()[: len(labels)] == [label[:3] for label in labels]
    assert max(map(len, matrix.splitlines())) <= 80


def confusion_text(labels: list[str], width: int) -> str:
    """What a terminal of that width shows of the confusions of a model that is right more often than not."""
    rng, n = np.random.default_rng(0), 50 * len(labels)
    truth = rng.integers(len(labels), size=n)
    logits = (1.5 * rng.normal(size=(n, len(labels))) + 3 * np.eye(len(labels))[truth]).astype("f4")
    names = tuple(map(str, range(n)))
    about = About("toy", "valid", "as given", "none", "model", "abc", tuple(labels))
    answers = Predictions(about, names, names, truth, logits, softmax(logits), None)
    text = as_text(evaluation_tables(measure(answers, None), width), width=width)
    return text[text.index("rows: true" if "rows: true" in text else "confusions:") :]


@pytest.mark.parametrize("width", [80, 100])
def test_the_columns_of_long_names_are_numbered(width: int):
    labels = [f"a face of {name} as people in the street show it" for name in tiny_meta().labels]
    head, _, *rows = [line for line in confusion_text(labels, width).splitlines()[1:] if line]
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    assert head.split() == numbers
    begins = [line for line in rows if line[:2].strip() in numbers]  # a name may take a second line
    assert [line[:2].strip() for line in begins] == numbers
    assert all(len(line.split()) >= len(labels) + 2 for line in begins)
    words = " ".join(line[: head.index("1") - 3] for line in rows).split()
    assert words == [
        word for number, label in zip(numbers, labels, strict=True) for word in (number, *label.split())
    ]


def test_of_many_classes_the_commonest_confusions_are_listed():
    labels = [f"class{number:02}" for number in range(25)]
    text = confusion_text(labels, 80)
    assert text.startswith("confusions: top 30 of 3")
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("class")]
    assert len(rows) == 30
    assert all(true in labels and predicted in labels and true != predicted for true, predicted, _ in rows)
    counts = [int(count) for _, _, count in rows]
    assert counts == sorted(counts, reverse=True)

"""The pictures of a report show the numbers that they are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageColor

from crossfer.calibration import softmax
from crossfer.evaluate import figures
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.run_file import Run
from crossfer.metrics import risk_coverage

LABELS = ("neutral", "happiness", "fear")
N, LOST = 90, 5  # the first images got no answer


@pytest.fixture(scope="module")
def run() -> Run:
    rng = np.random.default_rng(0)
    truth = rng.choice(2, size=N, p=(0.8, 0.2))  # there is no fear
    logits = (1.5 * np.eye(3)[truth] + rng.normal(size=(N, 3))).astype(np.float32)
    logits[:LOST] = np.nan
    names = tuple(map(str, range(N)))
    about = About("toy", "test", "as given", "centerface", "net", "abc", LABELS)
    predictions = Predictions(about, names, names, truth, logits, softmax(logits))
    return Run("mine", measure(predictions), predictions)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Figure]:
    """What a function of the module draws, before it becomes a picture."""
    monkeypatch.setattr(figures, "picture", lambda figure: figure)

    def draw(name: str, *arguments: Any, **options: Any) -> Figure:
        return getattr(figures, name)(*arguments, **options)

    return draw


def test_confusion_is_shaded_by_the_share_of_each_true_class(drawn, run: Run) -> None:
    counts = np.array(run.result.confusion)
    (axes,) = drawn("confusion_figure", run.result).axes
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown.sum(axis=1), [1, 1, 0])
    np.testing.assert_allclose(shown[:2], counts[:2] / counts[:2].sum(axis=1, keepdims=True))
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert cells == {(j, i): str(counts[i, j]) for i in range(3) for j in range(3)}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_reliability_is_that_of_the_answers_that_were_given(drawn, run: Run) -> None:
    upper, lower = drawn("reliability_figure", run).axes
    confidence, accuracy = upper.lines[1].get_data()
    seen = run.predictions.select(run.predictions.answered)
    assert len(confidence) == 15
    assert confidence[0] == pytest.approx(np.sort(seen.confidence)[:6].mean())  # 85 images: six in the first
    assert np.all(np.diff(confidence) > 0)
    assert np.mean(accuracy) == pytest.approx(seen.right.mean(), abs=0.02)
    assert sum(bar.get_height() for bar in lower.patches) == N - LOST


def test_the_curve_of_risk_is_that_of_the_answers(drawn, run: Run) -> None:
    (axes,) = drawn("risk_coverage_figure", [run, run]).axes
    assert [line.get_label() for line in axes.lines] == ["mine", "mine"]
    coverage, risk = axes.lines[0].get_data()
    expected = risk_coverage(run.predictions.confidence, run.predictions.right)
    np.testing.assert_array_equal((coverage, risk), (expected.coverage, expected.risk))
    assert risk[-1] == pytest.approx(1 - run.result.accuracy)


def test_the_map_has_each_answered_image_once_and_is_the_same_again(
    drawn, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = (drawn("map_figure", run).axes[0].collections for _ in range(2))
    given = run.predictions.truth[LOST:]
    assert [len(points.get_offsets()) for points in first] == [np.sum(given == k) for k in range(3)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.get_offsets(), other.get_offsets())
    monkeypatch.setattr(figures, "MOST_POINTS", 20)
    few = drawn("map_figure", run).axes[0].collections
    assert sum(len(points.get_offsets()) for points in few) == 20


def test_runs_and_classes_are_told_apart_by_more_than_colour(drawn, run: Run) -> None:
    lines = drawn("risk_coverage_figure", [run] * 24).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 24
    assert lines[0].get_linestyle() != lines[1].get_linestyle()
    labels = tuple(map(str, range(56)))
    about, logits = replace(run.predictions.about, labels=labels), np.zeros((N, 56), np.float32)
    many = replace(run.predictions, about=about, truth=np.arange(N) % 56, logits=logits + np.eye(N, 56))
    classes = drawn("map_figure", replace(run, predictions=many)).axes[0].collections
    looks = {(str(points.get_paths()[0]), *points.get_facecolor()[0]) for points in classes}
    assert len(looks) == 56
    assert len({mark for mark, *_ in looks}) == len(figures.MARKS)


@pytest.mark.parametrize("color", figures.COLORS)
def test_colours_are_seen_on_white(color: str) -> None:
    red, green, blue = (share / 255 for share in ImageColor.getrgb(color))
    assert 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.45


def test_a_face_is_coloured_where_the_evidence_lies() -> None:
    grey, evidence = np.full((48, 48, 3), 120, np.uint8), np.zeros((6, 6), np.float32)
    evidence[0, 0], evidence[5, 5] = 1, -1
    plain, shown = (
        np.asarray(Image.open(BytesIO(figures.face_picture(grey, given)))).astype(int)
        for given in (None, evidence)
    )
    assert (plain == np.full((144, 144, 3), 120)).all()
    assert shown[8, 8, 0] > 120 > shown[8, 8, 2]  # orange, for it
    assert shown[135, 135, 2] > 120 > shown[135, 135, 0]  # blue, against it
    assert (shown[:48, 96:] == plain[:48, 96:]).all()

"""Runs are saved whole, read back, and set side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from crossfer.evaluate.comparison import PairResult, aggregate, compare_networks, compare_recipes
from crossfer.evaluate.evaluation import measure
from crossfer.evaluate.predictions import About, Predictions
from crossfer.evaluate.result import EvaluationResult
from crossfer.evaluate.run_file import Run, RunError, read_run, write_run
from crossfer.labels import FERPLUS

ABOUT = About("toy", "test", "as given", "none", "net", "abc", FERPLUS.expressions)


def predictions(right: np.ndarray, digests: list[str] | None = None) -> Predictions:
    """Answers that are right where told, to images whose truth is class 1."""
    n = len(right)
    probabilities = np.full((n, 8), 0.05)
    probabilities[np.arange(n), np.where(right, 1, 2)] = 0.65
    names = digests or [f"{i:04x}" for i in range(n)]
    truth, logits = np.ones(n, np.int64), np.log(probabilities).astype(np.float32)
    return Predictions(
        ABOUT, tuple(f"x/{name}.png" for name in names), tuple(names), truth, logits, probabilities
    )


MEASURED = measure(predictions(np.array([True, False])))


def run(name: str, right: np.ndarray, digests: list[str] | None = None) -> Run:
    """Of a network of its own: its logits are no other's."""
    made = predictions(right, digests)
    shift = np.float32(sum(name.encode()) / 100)
    made = replace(made, about=replace(ABOUT, model_sha256=name), logits=made.logits + shift)
    return Run(name, replace(MEASURED, accuracy=float(right.mean())), made)


def compare(first: Run, second: Run) -> PairResult:
    return compare_networks(first.predictions, second.predictions, (first.name, second.name))


def coin(n: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


# ---- the file ----


def test_a_run_survives_its_file(tmp_path: Path):
    made = replace(predictions(coin(20, 0.7, 0)), votes=np.full((20, 8), 1 / 8), skipped=("bad.png: bad",))
    lost = np.arange(20) == 3
    made.probabilities[lost] = made.logits[lost] = np.nan
    result = measure(made)
    write_run(result, made, tmp_path / "a.jsonl")
    found = read_run(tmp_path / "a.jsonl")
    assert (found.name, found.result) == ("a", EvaluationResult.from_dict(result.to_dict()))
    assert found.result.to_dict() == result.to_dict()
    again = found.predictions
    assert (again.about, again.paths, again.digests, again.skipped) == (
        made.about, made.paths, made.digests, made.skipped,
    )  # fmt: skip
    np.testing.assert_array_equal(again.logits, made.logits)
    np.testing.assert_allclose(again.probabilities, made.probabilities, atol=1e-9)
    np.testing.assert_allclose(again.votes, made.votes, atol=1e-6)
    assert measure(again).to_dict() == result.to_dict()


def test_names_that_are_no_utf8_are_escaped_in_the_file_of_a_run(tmp_path: Path):
    made = replace(
        predictions(coin(2, 0.7, 0)), paths=("caf\udce9.png", "\udce9/x.png"), skipped=("\udcff.png: bad",)
    )
    write_run(measure(made), made, tmp_path / "a.jsonl")
    found = read_run(tmp_path / "a.jsonl").predictions
    assert found.paths == (r"caf\udce9.png", r"\udce9/x.png")
    assert found.skipped == (r"\udcff.png: bad",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "line 1: expected a JSON object"),
        (lambda text: "{}\n", "expected a run as crossfer evaluate --predictions writes it"),
        (lambda text: text[:-30], "line 6: expected a JSON object"),
        (lambda text: text[: text.rindex('{"path"')], "expected 5 images, found 4"),
        (lambda text: text.replace('"digest"', '"other"'), "line 2: digest: expected text, found nothing"),
        (lambda text: text.replace('"logits"', '"other"'), "line 2: logits: expected an answer, or null"),
        (
            lambda text: text.replace('"truth": "happiness"', '"truth": "joy"'),
            "line 2: truth: expected one of the labels, found 'joy'",
        ),
        (lambda text: text + "[" * 100_000, "line 7: expected a JSON object, found brackets too deep"),
        (lambda text: text + text[text.rindex('{"path"') :], "line 7: .* found that of line 6 again"),
        (lambda text: text.replace('"path"', '"votes": [1], "path"', 1), "votes: expected 8 finite numbers"),
        (lambda text: text + '{"a": ' + "9" * 5000 + "}", "line 7: expected finite numbers"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, change, message: str):
    made = predictions(coin(5, 0.5, 0))
    path = tmp_path / "a.jsonl"
    write_run(measure(made), made, path)
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=message) as caught:
        read_run(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": None}, "line 1: n: expected a whole number, found nothing"),
        ({"n": "5"}, "line 1: n: expected a whole number, found '5'"),
        ({"n": 5.5}, "line 1: n: expected a whole number, found 5.5"),
        ({"accuracy": None}, "line 1: accuracy: expected a number, found nothing"),
        ({"accuracy": "x"}, "line 1: accuracy: expected a number, found 'x'"),
        ({"accuracy": float("nan")}, "line 1: expected finite numbers, found NaN"),
        ({"accuracy": 0.123}, "accuracy: expected 0.600000 by the images, found 0.123000"),
        ({"no_face": 1}, "no_face: expected the counts that the images give"),
        ({"interval": [0.1]}, "line 1: interval: expected a list of 2, found a list of 1"),
        ({"per_class": None}, "line 1: per_class: expected an object, found nothing"),
        ({"per_class": {}}, "line 1: per_class: expected the labels in their order"),
        ({"model": {"name": "net"}}, "line 1: model.sha256: expected text, found nothing"),
        ({"skipped": {"count": 1}}, "line 1: skipped.reasons: expected a list, found nothing"),
        ({"labels": "abc"}, "line 1: labels: expected a list, found 'abc'"),
        ({"confusion": [[1]]}, "line 1: confusion: expected 8 rows of 8 counts"),
        ({"subsets": None}, "line 1: subsets: expected an object, found nothing"),
        ({"subsets": {"hard": 3}}, r"line 1: subsets\['hard'\]: expected an object, found 3"),
        ({"n": True}, "line 1: n: expected a whole number, found True"),
        ({"labels": []}, "line 1: labels: expected different names, found none"),
        (
            {"corruptions": {"seed": 0, "accuracy": {"blur": []}, "mean": 0.5}},
            "line 1: corruptions: expected 5 rates",
        ),
    ],
)
def test_a_first_line_that_is_none_says_which_figure(tmp_path: Path, change: dict, message: str):
    check_changed_line(tmp_path, 0, change, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": [float("nan")] * 8}, "line 3: expected finite numbers, found NaN"),
        ({"logits": [0.0] * 7 + [float("inf")]}, "line 3: expected finite numbers, found Infinity"),
        ({"logits": [0.0] * 7 + [10**60]}, "line 3: logits: expected 8 finite numbers, found others"),
        ({"logits": []}, "line 3: logits: expected 8 finite numbers, found a list of 0"),
        ({"probabilities": [0.25] * 8}, "line 3: probabilities: .* found a sum of 2"),
        ({"probabilities": [-0.05, 1.05] + [0.0] * 6}, "line 3: .* finite numbers of at least 0"),
        ({"probabilities": None}, "line 3: .* found predicted, logits alone"),
        ({"predicted": "fear"}, "line 3: predicted: expected happiness, the most probable, found fear"),
        ({"predicted": "joy"}, "line 3: predicted: expected one of the labels, found 'joy'"),
        ({"truth": ["happiness"]}, "line 3: truth: expected one of the labels, found a list of 1"),
        ({"path": None}, "line 3: path: expected text, found nothing"),
        ({"truth": "fear"}, "accuracy: expected 0.400000 by the images, found 0.600000"),
    ],
)
def test_an_image_that_does_not_fit_says_which_line(tmp_path: Path, change: dict, message: str):
    check_changed_line(tmp_path, 2, change, message)


def check_changed_line(folder: Path, line: int, change: dict, message: str) -> None:
    """A run of 5 images, 3 of them right, is refused with a message once a line has other values."""
    made, path = predictions(np.arange(5) < 3), folder / "a.jsonl"
    write_run(measure(made), made, path)
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **change})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=message) as caught:
        read_run(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path):
    with pytest.raises(RunError, match="no such run; write one with: crossfer evaluate"):
        read_run(tmp_path / "none.jsonl")


# ---- side by side ----


def test_runs_aggregate_to_mean_and_deviation():
    runs = [run(str(i), np.arange(10) < hits) for i, hits in enumerate((5, 7, 9))]
    result = aggregate(runs)
    assert (result.runs, result.n) == (("0", "1", "2"), 10)
    assert result.figures["accuracy"].mean == pytest.approx(0.7)
    assert result.figures["accuracy"].deviation == pytest.approx(0.2)


def test_two_networks_in_any_order_of_images():
    first, second = coin(400, 0.8, 1), coin(400, 0.7, 2)
    names = [f"{i:04x}" for i in range(400)]
    shuffled = np.random.default_rng(0).permutation(400)
    result = compare(run("a", first, names), run("b", second[shuffled], [names[i] for i in shuffled]))
    assert (result.only_first, result.only_second) == (np.sum(first & ~second), np.sum(~first & second))
    assert result.difference == pytest.approx(second.mean() - first.mean())
    test = ttest_rel(second.astype(float), first.astype(float))
    assert result.interval == pytest.approx(test.confidence_interval(0.95), abs=0.01)
    assert "these two networks differ" in result.statement
    assert "another seed of either recipe is another network" in result.statement
    assert "cannot be told apart" in compare(run("a", first), run("a", first)).statement


def test_two_networks_with_their_classes_in_other_orders():
    """Also where copies of an image have different labels."""
    digests = ["aa", "aa", "bb"]
    first = replace(predictions(np.array([True, False, True]), digests), truth=np.array([1, 2, 1]))
    order = [*range(7, -1, -1)]
    second = replace(
        first,
        about=replace(ABOUT, labels=tuple(ABOUT.labels[k] for k in order)),
        truth=7 - first.truth,
        probabilities=first.probabilities[:, order],
        logits=first.logits[:, order],
    )
    found = compare_networks(first, second, ("a", "b"))
    assert (found.n, found.accuracies) == (3, (first.right.mean(), first.right.mean()))
    assert (found.only_first, found.only_second) == (0, 0)


def test_two_networks_with_the_name_of_a_class_in_other_unicode_forms():
    first, second = (
        replace(made, about=replace(ABOUT, labels=("froh", name, *ABOUT.labels[2:])))
        for made, name in (
            (predictions(np.array([True, False])), form) for form in ("m\u00fcde", "mu\u0308de")
        )
    )
    assert compare_networks(first, second, ("a", "b")).accuracies == (0.5, 0.5)


def test_copies_widen_the_interval():
    first, second = coin(100, 0.8, 1), coin(100, 0.7, 2)
    names = [f"{i:04x}" for i in range(100)]
    alone = compare(run("a", first, names), run("b", second, names)).interval
    copied = compare(run("a", np.tile(first, 5), names * 5), run("b", np.tile(second, 5), names * 5)).interval
    assert copied[1] - copied[0] == pytest.approx(alone[1] - alone[0], rel=0.1)


def test_recipes_differ_less_surely_than_networks():
    """Where seeds differ much, one network against another says more than the recipes bear out."""
    first = [run(str(i), coin(2000, share, i)) for i, share in enumerate((0.7, 0.8, 0.9))]
    second = [run(str(i), coin(2000, share, 9 + i)) for i, share in enumerate((0.75, 0.85, 0.95))]
    assert "differ" in compare(first[0], second[0]).statement
    result = compare_recipes(first, second)
    assert result.difference == pytest.approx(0.05, abs=0.02)
    assert result.first.deviation == pytest.approx(0.1, abs=0.02)
    assert "cannot be told apart" in result.statement


def test_two_seeds_of_a_recipe_are_not_judged():
    runs = [run(str(i), coin(2000, share, i)) for i, share in enumerate((0.6, 0.6, 0.6, 0.9, 0.9, 0.9))]
    assert "the two recipes differ" in compare_recipes(runs[:3], runs[3:]).statement
    for result in (compare_recipes(runs[:2], runs[3:]), compare_recipes(runs[:3], runs[3:5])):
        assert "are not judged: that takes at least 3 seeds of each" in result.statement
        assert "differ" not in result.statement


def test_recipes_on_one_image_alone_have_an_interval():
    """How images vary cannot be told from one; rounding must not stand for it."""
    for right in range(59):
        runs = [run(str(i), np.arange(59) < right + (i > 2), ["0"] * 59) for i in range(6)]
        assert np.isfinite(compare_recipes(runs[:3], runs[3:]).interval).all()


def test_recipes_that_are_alike_seldom_differ():
    """In at most 5 % of 300 drawings, three seeds of each with a deviation of 3 points."""
    rng, found = np.random.default_rng(0), 0
    for shares in rng.normal(0.8, 0.03, (300, 6)):
        runs = [run(str(i), rng.random(1000) < share) for i, share in enumerate(shares)]
        low, high = compare_recipes(runs[:3], runs[3:]).interval
        found += not low <= 0 <= high
    assert found <= 15


def test_two_networks_differ_only_if_the_exact_test_says_so_too():
    """Four of 3,199 images, all for one of them: no bootstrap interval of them has a zero in it."""
    first = np.arange(3199) >= 500
    result = compare(run("a", first), run("b", first | (np.arange(3199) < 4)))
    assert result.interval[0] > 0
    assert result.p_value == pytest.approx(0.125)
    assert "cannot be told apart" in result.statement


def test_the_interval_of_recipes_has_the_width_of_theory():
    """Seeds of large deviation and few errors from images: Welch's, and little more."""
    rng = np.random.default_rng(1)
    runs = [run(str(i), coin(1000, share, i)) for i, share in enumerate(rng.normal(0.5, 0.1, 8))]
    result = compare_recipes(runs[:4], runs[4:])
    accuracies = [run.result.accuracy for run in runs]
    low, high = ttest_ind(accuracies[4:], accuracies[:4], equal_var=False).confidence_interval()
    assert result.interval[1] - result.interval[0] == pytest.approx(high - low, rel=0.06)


def test_copies_widen_the_interval_of_recipes_too():
    """Where seeds differ little, it is as wide as without the copies."""
    names, truth = [f"{i:04x}" for i in range(100)], coin(100, 0.8, 1)
    rights = [truth ^ coin(100, 0.1, seed) for seed in range(2, 6)]
    alone, copied = (
        compare_recipes(
            *(
                [run(f"{side}{i}", np.tile(rights[2 * side + i], times), names * times) for i in range(2)]
                for side in range(2)
            )
        ).interval
        for times in (1, 5)
    )
    assert copied[1] - copied[0] == pytest.approx(alone[1] - alone[0], rel=0.1)


def test_one_network_is_not_two_seeds():
    a, b, c = (run(name, coin(50, 0.7, seed)) for seed, name in enumerate("abc"))
    copy = replace(a, name="copy")
    for compare in (
        lambda: aggregate([a, copy]),
        lambda: compare_recipes([a, copy], [b, c]),
        lambda: compare_recipes([b, c], [a, copy]),
    ):
        with pytest.raises(
            RunError, match="different networks on one side, found a and copy of the same one"
        ):
            compare()
    about = replace(a.predictions.about, detector="centerface")
    assert aggregate([a, replace(a, predictions=replace(a.predictions, about=about))]).n == 50


def test_a_calibrated_copy_is_no_other_seed():
    """Its file and probabilities are others, its logits the same; images and classes may stand otherwise."""
    a, b, c = (run(name, coin(50, 0.7, seed)) for seed, name in enumerate("abc"))
    a.predictions.logits[0] = a.predictions.probabilities[0] = np.nan
    answers = a.predictions.select(np.arange(50)[::-1])
    spelled = tuple(map(str.upper, answers.about.labels))
    about = replace(answers.about, model_sha256="calibrated", labels=spelled)
    answers = replace(answers, about=about, probabilities=answers.probabilities**2)
    copy = Run("copy", a.result, replace(answers, logits=answers.logits + np.float32(1e-5)))
    for compare in (
        lambda: aggregate([a, b, copy]),
        lambda: compare_recipes([a, copy], [b, c]),
        lambda: compare_recipes([b, c], [a, copy]),
    ):
        with pytest.raises(RunError, match=r"found a and copy of the same one \(the same logits on every"):
            compare()
    assert aggregate([a, b, c]).n == 50
    assert compare_recipes([a, b], [copy, c]).n == 50


def test_runs_on_other_images_are_refused():
    first, second = run("a", coin(10, 0.5, 0)), run("b", coin(9, 0.5, 0))
    with pytest.raises(
        RunError, match=r"n = 10\) and toy test \(as given, n = 9\) with 9 different images in common"
    ):
        compare(first, second)
    with pytest.raises(RunError, match="expected at least two runs to aggregate, got 1"):
        aggregate([first])
    with pytest.raises(RunError, match="expected at least two runs"):
        compare_recipes([first, first], [first])

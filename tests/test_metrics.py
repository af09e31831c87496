from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest
from scipy.stats import t as student
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torch_metrics

from crossfer import metrics
from reference import metrics as naive

CLASSES = 8
Labelling = tuple[np.ndarray, np.ndarray]


@st.composite
def labellings(draw: st.DrawFn, lowest: int = metrics.NO_ANSWER, classes: int = 5) -> Labelling:
    n = draw(st.integers(1, 40))
    truth = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    predicted = draw(st.lists(st.integers(lowest, classes - 1), min_size=n, max_size=n))
    return np.array(truth), np.array(predicted)


@st.composite
def forecasts(draw: st.DrawFn) -> Labelling:
    n, classes, seed = draw(st.integers(1, 60)), draw(st.integers(2, 8)), draw(st.integers(0, 2**32 - 1))
    sharpness = draw(st.sampled_from([0.05, 0.3, 1.0, 10.0]))
    rng = np.random.default_rng(seed)
    probabilities = np.clip(rng.dirichlet(np.full(classes, sharpness), size=n), 1e-12, 1)
    return probabilities / probabilities.sum(axis=1, keepdims=True), rng.integers(classes, size=n)


def random_case(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, K) and truth (N,), better than chance."""
    rng = np.random.default_rng(7)
    truth = rng.choice(CLASSES, size=n, p=[0.3, 0.25, 0.15, 0.1, 0.1, 0.05, 0.03, 0.02])
    logits = rng.normal(size=(n, CLASSES)) * 2
    logits[np.arange(n), truth] += 2
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True), truth


# ---- cases whose answer is known ----


def test_rows_of_the_confusion_matrix_are_the_truth():
    matrix = metrics.confusion_matrix(np.array([0, 0, 0, 2]), np.array([1, 1, 0, -1]), 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 0]]


def test_an_image_without_an_answer_counts_as_wrong():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, -1, 1, -1])
    assert metrics.accuracy(truth, predicted) == 0.5
    assert metrics.mean_class_accuracy(truth, predicted) == 0.5
    assert metrics.macro_f1(truth, predicted) == pytest.approx(2 / 3)
    scores = metrics.class_scores(truth, predicted, 2)
    assert scores.precision.tolist() == [1, 1]
    assert scores.recall.tolist() == [0.5, 0.5]
    assert scores.support.tolist() == [2, 2]


def test_no_answer_at_all():
    truth, predicted = np.array([0, 1]), np.array([-1, -1])
    assert metrics.accuracy(truth, predicted) == metrics.macro_f1(truth, predicted) == 0
    assert not metrics.confusion_matrix(truth, predicted, 2).any()


def test_classes_that_do_not_occur_do_not_count():
    truth, predicted = np.array([0, 0, 3]), np.array([0, 0, 3])
    assert metrics.mean_class_accuracy(truth, predicted) == metrics.macro_f1(truth, predicted) == 1
    scores = metrics.class_scores(truth, predicted, 5)
    assert (
        np.isnan(scores.precision).tolist()
        == np.isnan(scores.recall).tolist()
        == [False, True, True, False, True]
    )


def test_a_class_predicted_but_never_true_lowers_macro_f1():
    assert metrics.macro_f1(np.array([0, 0]), np.array([0, 1])) == pytest.approx((2 / 3 + 0) / 2)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_worst():
    sure, truth = np.eye(3), np.arange(3)
    assert metrics.brier_score(sure, truth) == metrics.expected_calibration_error(sure, truth) == 0
    assert metrics.negative_log_likelihood(sure, truth) == 0
    wrong = (truth + 1) % 3
    assert metrics.brier_score(sure, wrong) == 2
    assert metrics.expected_calibration_error(sure, wrong) == 1
    assert metrics.negative_log_likelihood(sure, wrong) == pytest.approx(-np.log(np.finfo(np.float64).tiny))


def test_a_likelihood_is_not_cut_short_of_what_a_float_can_hold():
    unlikely = np.array([[np.exp(-40.0), 1 - np.exp(-40.0)]])
    assert metrics.negative_log_likelihood(unlikely, np.array([0])) == pytest.approx(40)


def test_confidences_on_a_bin_edge_belong_to_the_bin_above():
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    assert metrics.expected_calibration_error(probabilities, np.array([0, 1]), bins=4) == pytest.approx(0.375)
    assert metrics.expected_calibration_error(probabilities, np.array([0, 1]), bins=2) == pytest.approx(0.125)


def test_full_confidence_shares_the_last_bin():
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4]])
    assert metrics.expected_calibration_error(probabilities, np.array([1, 0]), bins=2) == pytest.approx(0.3)


@pytest.mark.parametrize("order", [1, -1])
def test_images_of_equal_confidence_have_no_order_in_bins_of_equal_mass(order: int):
    probabilities = np.tile([0.75, 0.25], (3000, 1))
    truth = np.repeat([1, 0], [750, 2250])[::order]
    error = metrics.expected_calibration_error(probabilities, truth, equal_mass=True)
    assert error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 5, 10, 11, 19, 200])
def test_quantiles_are_those_of_scipy(degrees: int):
    assert metrics.t_quantile(degrees) == pytest.approx(student.ppf(0.975, degrees), rel=1e-3)


def test_degrees_of_freedom_between_two_are_rounded_down():
    assert metrics.t_quantile(3.9) == metrics.t_quantile(3)


def test_wilson_interval_of_the_reference_case():
    """81 of 263: (0.2553, 0.3662) in Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3."""
    assert metrics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert metrics.wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert metrics.wilson_interval(20, 20)[1] == 1


def interval_of_mean(
    values: np.ndarray, resamples: int, groups: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    drawn = metrics.bootstrap_resamples(len(values), resamples, groups=groups, seed=seed)
    return metrics.percentile_interval([values[rows].mean() for rows in drawn])


def test_bootstrap_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).normal(size=400)
    low, high = interval_of_mean(values, 4000)
    margin = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - margin, values.mean() + margin), abs=0.01)


def test_bootstrap_interval_is_seeded():
    values = np.random.default_rng(1).normal(size=50)
    first, again, other = (interval_of_mean(values, 50, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_identical_images_are_drawn_together():
    groups = np.array([0, 0, 0, 5, 2, 2])
    for rows in metrics.bootstrap_resamples(6, 50, groups=groups):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[1] == counts[2]
        assert counts[4] == counts[5]
        assert counts[[0, 3, 4]].sum() == 3


def test_copies_do_not_make_an_interval_narrower():
    hits = np.random.default_rng(1).random(100) < 0.7

    def width(values: np.ndarray, groups: np.ndarray | None) -> float:
        low, high = interval_of_mean(values, 2000, groups)
        return high - low

    alone, copied = width(hits, None), np.tile(hits, 4)
    assert width(copied, np.tile(np.arange(100), 4)) == pytest.approx(alone, rel=0.1)
    assert width(copied, None) == pytest.approx(alone / 2, rel=0.1)


def test_the_surest_answers_come_first_and_ties_have_no_order():
    curve = metrics.risk_coverage(np.array([0.9, 0.5, 0.7]), np.array([True, False, True]))
    assert curve.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3])
    assert curve.area == pytest.approx(1 / 9)
    tied = metrics.risk_coverage(np.full(4, 0.5), np.array([True, False, False, True]))
    assert tied.risk.tolist() == pytest.approx([0.5] * 4)


def test_a_distance_of_nothing_and_of_everything():
    one, other = np.eye(2)[[0, 1]], np.eye(2)[[1, 0]]
    assert metrics.jensen_shannon_distance(one, one) == 0
    assert metrics.jensen_shannon_distance(one, other) == pytest.approx(1)


# ---- independent libraries ----


@given(forecasts(), st.integers(0, 2**32 - 1))
def test_distance_to_votes_as_in_scipy(case: Labelling, seed: int):
    probabilities, _ = case
    votes = np.random.default_rng(seed).multinomial(10, probabilities) / 10
    theirs = jensenshannon(probabilities, votes, base=2, axis=1)
    assert metrics.jensen_shannon_distance(probabilities, votes) == pytest.approx(theirs.mean(), abs=1e-7)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_as_in_scipy(only_first: int, only_second: int):
    n = only_first + only_second
    expected = binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert metrics.mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-8, abs=1e-290)


def test_as_in_scikit_learn():
    probabilities, truth = random_case()
    predicted = probabilities.argmax(axis=1)
    matrix = metrics.confusion_matrix(truth, predicted, CLASSES)
    assert np.array_equal(matrix, sklearn_metrics.confusion_matrix(truth, predicted))
    assert metrics.accuracy(truth, predicted) == pytest.approx(
        sklearn_metrics.accuracy_score(truth, predicted)
    )
    balanced = sklearn_metrics.balanced_accuracy_score(truth, predicted)
    assert metrics.mean_class_accuracy(truth, predicted) == pytest.approx(balanced)
    assert metrics.macro_f1(truth, predicted) == pytest.approx(
        sklearn_metrics.f1_score(truth, predicted, average="macro")
    )
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(truth, predicted)
    scores = metrics.class_scores(truth, predicted, CLASSES)
    assert scores.precision == pytest.approx(precision)
    assert scores.recall == pytest.approx(recall)
    assert np.array_equal(scores.support, support)
    assert metrics.negative_log_likelihood(probabilities, truth) == pytest.approx(
        sklearn_metrics.log_loss(truth, probabilities)
    )
    assert metrics.brier_score(probabilities, truth) == pytest.approx(
        sklearn_metrics.brier_score_loss(truth, probabilities, scale_by_half=False)
    )


@given(labellings(lowest=0))
def test_macro_f1_as_in_scikit_learn_whatever_classes_occur(case: Labelling):
    truth, predicted = case
    assert metrics.macro_f1(truth, predicted) == pytest.approx(
        sklearn_metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    )


def test_as_in_torchmetrics():
    probabilities, truth = random_case()
    p, t = torch.from_numpy(probabilities), torch.from_numpy(truth)
    predicted = probabilities.argmax(axis=1)
    error = torch_metrics.multiclass_calibration_error(p, t, CLASSES, n_bins=15, norm="l1").item()
    assert error > 0.01
    assert metrics.expected_calibration_error(probabilities, truth) == pytest.approx(error, abs=1e-6)
    f1 = torch_metrics.multiclass_f1_score(p, t, CLASSES, average="macro").item()
    assert metrics.macro_f1(truth, predicted) == pytest.approx(f1, abs=1e-6)
    recall = torch_metrics.multiclass_accuracy(p, t, CLASSES, average="macro").item()
    assert metrics.mean_class_accuracy(truth, predicted) == pytest.approx(recall, abs=1e-6)


# ---- loop versions ----


@given(labellings())
def test_figures_about_classes_as_in_the_loop_version(case: Labelling):
    truth, predicted = case
    assert metrics.confusion_matrix(truth, predicted, 5).tolist() == naive.confusion_matrix(
        truth, predicted, 5
    )
    for name in ("accuracy", "mean_class_accuracy", "macro_f1"):
        theirs = getattr(naive, name)(truth.tolist(), predicted.tolist())
        assert getattr(metrics, name)(truth, predicted) == pytest.approx(theirs)


@given(forecasts(), st.integers(1, 20))
def test_figures_about_probabilities_as_in_the_loop_version(case: Labelling, bins: int):
    probabilities, truth = case
    p, t = probabilities.tolist(), truth.tolist()
    assert metrics.negative_log_likelihood(probabilities, truth) == pytest.approx(
        naive.negative_log_likelihood(p, t)
    )
    assert metrics.brier_score(probabilities, truth) == pytest.approx(naive.brier_score(p, t))
    theirs = naive.expected_calibration_error(p, t, bins)
    assert metrics.expected_calibration_error(probabilities, truth, bins=bins) == pytest.approx(theirs)
    theirs = naive.expected_calibration_error_of_equal_mass(p, t, bins)
    ours = metrics.expected_calibration_error(probabilities, truth, bins=bins, equal_mass=True)
    assert ours == pytest.approx(theirs)


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.6, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_risk_coverage_as_in_the_loop_version(images: list[tuple[float, bool]]):
    confidence, right = zip(*images, strict=True)
    curve = metrics.risk_coverage(np.array(confidence), np.array(right))
    theirs = [naive.risk_at(confidence, right, count) for count in range(1, len(images) + 1)]
    assert curve.risk.tolist() == pytest.approx(theirs)


# ---- what always holds ----


@given(labellings(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(case: Labelling, random):
    truth, predicted = case
    order = list(range(len(truth)))
    random.shuffle(order)
    for figure in (metrics.accuracy, metrics.mean_class_accuracy, metrics.macro_f1):
        assert figure(truth[order], predicted[order]) == pytest.approx(figure(truth, predicted))


@given(labellings())
def test_rows_sum_to_support_less_unanswered(case: Labelling):
    truth, predicted = case
    rows = metrics.confusion_matrix(truth, predicted, 5).sum(axis=1)
    unanswered = np.bincount(truth[predicted == -1], minlength=5)
    assert np.array_equal(rows + unanswered, metrics.class_scores(truth, predicted, 5).support)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_is_that_of_scipy(case: tuple[int, int]):
    correct, n = case
    low, high = metrics.wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1
    theirs = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(forecasts())
def test_ranges(case: Labelling):
    assert metrics.negative_log_likelihood(*case) >= 0
    assert 0 <= metrics.brier_score(*case) <= 2
    assert 0 <= metrics.expected_calibration_error(*case) <= 1


# ---- input that does not fit ----

GOOD = np.array([0, 1])


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (GOOD, np.array([0]), "predicted: expected a class for each of 2 images, got 1"),
        (np.array([], int), np.array([], int), r"truth: expected at least one .*, got int64 of shape \(0,\)"),
        (np.array([0.0, 1.0]), GOOD, "truth: expected .* integer type.*, got float64"),
        (GOOD[None], GOOD, r"truth: .* of shape \(1, 2\)"),
        (np.array([0, -1]), GOOD, "truth: expected class indices from 0 to 1, got -1 to 0"),
        (GOOD, np.array([0, 2]), "predicted: expected class indices from -1 to 1, got 0 to 2"),
        (GOOD, np.array([-2, 0]), "predicted: expected class indices from -1 to 1, got -2 to 0"),
    ],
)
def test_bad_classes_state_expected_and_actual(truth: np.ndarray, predicted: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        metrics.class_scores(truth, predicted, 2)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.array([0.5, 0.5]), r"expected shape \(N, K\), got \(2,\)"),
        (np.array([[0.5, 0.5]]), "a row for each of 2 images, got 1"),
        (np.array([[0.5, 0.6], [0.5, 0.5]]), "rows >= 0 that sum to 1"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), "rows >= 0 that sum to 1"),
        (np.array([[np.nan, 1.0], [0.5, 0.5]]), "rows >= 0 that sum to 1"),
        (np.array([[1.0], [1.0]]), "truth: expected class indices from 0 to 0, got 0 to 1"),
    ],
)
@pytest.mark.parametrize(
    "figure", [metrics.negative_log_likelihood, metrics.brier_score, metrics.expected_calibration_error]
)
def test_bad_probabilities_state_expected_and_actual(figure, probabilities: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        figure(probabilities, GOOD)


def test_bad_sizes_state_expected_and_actual():
    with pytest.raises(ValueError, match="got correct = 3, n = 2"):
        metrics.wilson_interval(3, 2)
    with pytest.raises(ValueError, match="n >= 1"):
        metrics.wilson_interval(0, 0)
    with pytest.raises(ValueError, match="got n = 0"):
        next(metrics.bootstrap_resamples(0, 1))
    with pytest.raises(ValueError, match="groups: expected one for each of 2 images"):
        next(metrics.bootstrap_resamples(2, 1, groups=np.zeros(3, int)))
    with pytest.raises(ValueError, match="expected a confidence and an outcome for each image"):
        metrics.risk_coverage(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match="votes: expected the shape"):
        metrics.jensen_shannon_distance(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="counts of at least 0"):
        metrics.mcnemar(-1, 0)
    with pytest.raises(ValueError, match="at least 1 bin, got 0"):
        metrics.expected_calibration_error(np.eye(2), GOOD, bins=0)

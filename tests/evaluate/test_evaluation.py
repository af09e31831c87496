from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn import metrics as sklearn_metrics

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.evaluate.evaluation import evaluate
from crossfer.evaluate.predictions import CHUNK, About
from crossfer.evaluate.tables import evaluation_tables
from crossfer.labels import FER2013, FERPLUS, RAFDB, LabelSet
from crossfer.metrics import wilson_interval
from crossfer.runtime.bundle import BundleMeta
from crossfer.runtime.detection import Detection
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Box, Face, Prediction
from reference import metrics as naive
from support.bundles import tiny_meta

NOBODY = 255


@dataclass
class PixelReader:
    """Sees what the first pixel says: red is the class, or nobody; green is the confidence in percent.

    With a detector it finds a second, smaller face of the class before.
    """

    detector_name: str = "none"
    meta: BundleMeta = field(default_factory=tiny_meta)
    sha256: str = "abc"
    calls: list[int] = field(default_factory=list)

    def classify(self, crops: Sequence[np.ndarray]) -> list[Prediction]:
        self.calls.append(len(crops))
        return [self._prediction(*map(int, crop[0, 0, :2])) for crop in crops]

    def recognize_batch(self, images: Iterable[np.ndarray]) -> list[list[Face]]:
        found = []
        for image in images:
            red, green = map(int, image[0, 0, :2])
            predictions = (
                [] if red == NOBODY else [self._prediction(red, green), self._prediction(red - 1, green)]
            )
            found.append([Face(Box(0, 0, 9 - i, 9), (), 0.9, p) for i, p in enumerate(predictions)])
        return found

    def _prediction(self, index: int, percent: int) -> Prediction:
        k = len(self.meta.labels)
        probabilities = np.full(k, (1 - percent / 100) / (k - 1))
        probabilities[index] = percent / 100
        named = dict(zip(self.meta.labels, probabilities.tolist(), strict=True))
        return Prediction(named, np.zeros(k, np.float32), np.zeros((k, 1, 1), np.float32))


def dataset(
    truth: Sequence[int],
    seen: Sequence[int],
    labels: LabelSet = FERPLUS,
    percent: Sequence[int] | None = None,
) -> Dataset:
    """Images of the classes ``truth`` in which a PixelReader sees the classes ``seen``."""
    percents = percent or [70] * len(truth)

    def read(sample: Sample) -> np.ndarray:
        i = int(sample.path)
        return np.full((4, 4, 3), (seen[i], percents[i], 0), np.uint8)

    samples = tuple(Sample(str(i), label, split="valid") for i, label in enumerate(truth))
    return Dataset("toy", "as given", labels, samples, read, ("line 3: bad",))


def random_case(n: int) -> tuple[list[int], list[int], list[int]]:
    rng = np.random.default_rng(0)
    truth = rng.integers(8, size=n)
    seen = np.where(rng.random(n) < 0.6, truth, rng.integers(8, size=n))
    return truth.tolist(), seen.tolist(), rng.integers(20, 100, size=n).tolist()


def test_numbers_are_those_of_scikit_learn():
    truth, seen, percent = random_case(150)
    result = evaluate(PixelReader(), dataset(truth, seen, percent=percent))
    assert result.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, seen))
    assert result.interval == wilson_interval(sum(t == s for t, s in zip(truth, seen, strict=True)), 150)
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(truth, seen, average="macro"))
    assert result.mean_class_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, seen))
    assert np.array_equal(result.confusion, sklearn_metrics.confusion_matrix(truth, seen))
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(truth, seen)
    assert [c.precision for c in result.per_class] == pytest.approx(list(precision))
    assert [c.recall for c in result.per_class] == pytest.approx(list(recall))
    assert [c.support for c in result.per_class] == support.tolist()
    predictions = PixelReader().classify(
        [np.full((1, 1, 3), (s, p, 0)) for s, p in zip(seen, percent, strict=True)]
    )
    rows = np.array([list(p.probabilities.values()) for p in predictions])
    assert result.nll == pytest.approx(sklearn_metrics.log_loss(truth, rows, labels=range(8)))
    assert result.brier == pytest.approx(
        sklearn_metrics.brier_score_loss(truth, rows, labels=range(8), scale_by_half=False)
    )
    ece = naive.expected_calibration_error(rows.tolist(), truth, 15)
    assert result.ece == pytest.approx(ece)


def test_what_the_numbers_belong_to():
    result = evaluate(PixelReader(), dataset([1], [1]))
    assert result.n == 1
    assert result.about == About("toy", "valid", "as given", "none", "tiny", "abc", FERPLUS.expressions)
    assert result.skipped == ("line 3: bad",)


def test_the_largest_face_counts_and_none_counts_as_wrong():
    result = evaluate(PixelReader("centerface"), dataset([1, 1, 2, 2], [1, NOBODY, 2, 1]))
    assert (result.n, result.no_face, result.accuracy) == (4, 1, 0.5)
    assert result.interval == wilson_interval(2, 4)
    happiness, surprise = result.per_class[1:3]
    assert (happiness.recall, happiness.support, happiness.precision) == (0.5, 2, 0.5)
    assert sum(result.confusion[1]) == happiness.support - 1
    assert sum(result.confusion[2]) == surprise.support
    assert np.sum(result.confusion) == result.n - result.no_face
    assert result.about.detector == "centerface"


def test_no_face_anywhere():
    result = evaluate(PixelReader("centerface"), dataset([1, 2], [NOBODY] * 2))
    assert (result.accuracy, result.macro_f1, result.no_face) == (0, 0, 2)
    assert result.nll is result.brier is result.ece is None
    assert not np.any(result.confusion)


def test_classes_of_the_data_set_are_found_in_the_model_by_name():
    seen = [FERPLUS.index(name) for name in RAFDB.expressions]
    result = evaluate(PixelReader(), dataset(range(7), seen, RAFDB))
    assert result.accuracy == 1
    assert np.array_equal(np.diag(result.confusion), [1] * 7 + [0])
    contempt = result.per_class[7]
    assert (contempt.precision, contempt.recall, contempt.support) == (None, None, 0)


@pytest.mark.parametrize("forms", [("m\u00fcde", "mu\u0308de"), ("mu\u0308de", "m\u00fcde")])
def test_classes_are_found_in_the_model_in_any_unicode_form(forms: tuple[str, str]):
    theirs, ours = (LabelSet("own", ("froh", name)) for name in forms)
    model = PixelReader(meta=replace(tiny_meta(), label_set="own", labels=ours.expressions))
    assert evaluate(model, dataset([0, 1, 1], [0, 1, 0], theirs)).accuracy == pytest.approx(2 / 3)


def test_predictions_stay_over_all_of_the_models_classes():
    result = evaluate(PixelReader(), dataset([0, 0], [0, 7], FER2013))
    assert result.confusion[FERPLUS.index("anger")] == (1, 0, 0, 0, 0, 0, 0, 1)


def test_a_class_that_the_model_does_not_know_is_named():
    seven = replace(tiny_meta(), label_set=FER2013.name, labels=FER2013.expressions)
    with pytest.raises(
        ValueError, match="label set ferplus: the model 'tiny' does not know contempt, only anger, disgust"
    ):
        evaluate(PixelReader(meta=seven), dataset([0], [0]))


def test_images_go_through_in_chunks():
    truth, seen, percent = random_case(2 * CHUNK + 5)
    reader, done = PixelReader(), []
    whole = evaluate(reader, dataset(truth, seen, percent=percent), progress=done.append)
    assert reader.calls == done == [CHUNK, CHUNK, 5]
    assert whole.accuracy == np.mean(np.equal(truth, seen))


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match="toy: expected at least one image under as given, found none"):
        evaluate(PixelReader(), dataset([], []))


def test_a_detector_of_ones_own_finds_the_faces_and_stands_in_the_result(tiny_model: Path):
    class Blind:
        def detect(self, image: np.ndarray) -> list[Detection]:
            return []

    result = evaluate(Recognizer(tiny_model, Blind()), dataset([1, 2], [1, 2]))
    assert (result.about.detector, result.no_face, result.accuracy) == ("Blind", 2, 0)


def test_plain_values_survive_json():
    result = evaluate(PixelReader("centerface"), dataset([1, 2, 2], [1, NOBODY, 3]))
    values = result.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert values["n"] == 3
    assert values["no_face"] == 1
    assert values["labels"] == list(FERPLUS.expressions)
    assert values["interval"] == [round(bound, 6) for bound in wilson_interval(1, 3)]
    assert values["model"] == {"name": "tiny", "sha256": "abc"}
    assert values["per_class"]["happiness"] == {"precision": 1, "recall": 1, "support": 1}
    assert values["per_class"]["fear"] == {"precision": None, "recall": None, "support": 0}
    assert values["confusion"][2][3] == 1
    assert values["skipped"] == {"count": 1, "reasons": ["line 3: bad"]}
    assert {
        "macro_f1",
        "mean_class_accuracy",
        "nll",
        "brier",
        "ece",
        "protocol",
        "data",
        "split",
        "detector",
    } <= set(values)


def test_tables_hold_the_numbers():
    result = evaluate(PixelReader("centerface"), dataset([1, 1, 1, 1], [1, 1, 1, NOBODY]))
    console = Console(width=100)
    with console.capture() as capture:
        console.print(evaluation_tables(result))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["tiny", "on", "toy", "valid", "(as", "given,", "n", "=", "4,", "detector", "centerface)"] in lines
    assert ["accuracy", "75.00", "%", "(95", "%", "interval", "30.06", "to", "95.44)"] in lines
    assert ["happiness", "4", "75.00", "100.00"] in lines
    assert ["happiness", "0", "3", *["0"] * 6] in lines
    assert ["1", "bad", "rows", "or", "images", "left", "out"] in lines
    assert max(map(len, capture.get().splitlines())) <= 100


def test_a_real_model_scores_as_its_single_predictions_do(tiny_model: Path):
    rng = np.random.default_rng(3)
    images = rng.integers(256, size=(20, 48, 48, 3), dtype=np.uint8)
    recognizer = Recognizer(tiny_model, detector="none")
    expected = [FERPLUS.index(recognizer.classify([image])[0].expression) for image in images]
    truth = [k if i % 2 else (k + 1) % 8 for i, k in enumerate(expected)]
    samples = tuple(Sample(str(i), label) for i, label in enumerate(truth))
    result = evaluate(recognizer, Dataset("noise", "none", FERPLUS, samples, lambda s: images[int(s.path)]))
    assert result.accuracy == 0.5
    assert result.about.model_sha256 == recognizer.sha256
    assert len(result.about.model_sha256) == 64


def test_end_to_end_finds_the_face_in_a_photo_and_none_in_a_wall(tiny_model: Path, astronaut: np.ndarray):
    recognizer = Recognizer(tiny_model)
    seen = FERPLUS.index(recognizer.recognize(astronaut)[0].expression)
    images = {"photo": astronaut, "wall": np.full_like(astronaut, 200)}
    samples = tuple(Sample(name, seen) for name in images)
    photos = Dataset("photos", "none", FERPLUS, samples, lambda s: images[s.path])
    result = evaluate(recognizer, photos)
    assert (result.n, result.no_face, result.accuracy) == (2, 1, 0.5)


@pytest.mark.parametrize("detector", ["none", "centerface"])
def test_an_image_that_vanishes_stops_it(detector):
    whole = dataset([1, 2, 3], [1, 2, 4])

    def read(sample: Sample) -> np.ndarray:
        if sample.path == "1":
            raise DataError("1: gone")
        return whole.read(sample)

    with pytest.raises(DataError, match="1: gone"):
        evaluate(PixelReader(detector), replace(whole, read=read))


def test_what_the_data_set_left_out_stands_in_the_result():
    result = evaluate(PixelReader("none"), dataset([1, 3], [1, 4]))
    assert (result.n, result.skipped) == (2, ("line 3: bad",))
    assert [c.support for c in result.per_class[1:4]] == [1, 0, 1]

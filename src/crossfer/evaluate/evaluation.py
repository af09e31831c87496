"""A model against a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.evaluate.result import ClassResult, EvaluationResult
from crossfer.labels import LabelSet
from crossfer.metrics import (
    NO_ANSWER,
    accuracy,
    brier_score,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    mean_class_accuracy,
    negative_log_likelihood,
    wilson_interval,
)
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Prediction

CHUNK = 64


def evaluate(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    detector: Literal["centerface", "none"] = "none",
    progress: Callable[[int], None] = lambda _: None,
) -> EvaluationResult:
    """Scores a model on a data set, either on face crops or end to end.

    Images are read and forgotten in chunks of ``CHUNK``, so memory does not grow with their number.

    Args:
        recognizer: the model; for end to end it must have been made with the detector named here.
        dataset: labelled images; the model must know all of its classes, and may know more.
        detector: ``"none"``: every image is a face crop in the model's framing. ``"centerface"``: faces are
            found first; the largest one counts, and an image without one counts as wrong.
        progress: called with the number of images done since the last call.

    Raises:
        ValueError: if the model lacks one of the data set's classes, or has no detector where one is wanted.
        DataError: if the data set is empty, or one of its images cannot be read.
    """
    labels = recognizer.meta.labelset
    class_of = _class_map(dataset.labels, labels, recognizer.meta.name)
    if not dataset.samples:
        raise DataError(f"{dataset.name}: expected at least one image under {dataset.protocol}, found none")
    predict = _crop_predictions if detector == "none" else _largest_face_predictions
    predictions: list[Prediction | None] = []
    for start in range(0, len(dataset), CHUNK):
        chunk = dataset.samples[start : start + CHUNK]
        predictions.extend(predict(recognizer, dataset, chunk))
        progress(len(chunk))
    truth = np.array([class_of[sample.label] for sample in dataset.samples])
    return _result(recognizer, dataset, detector, truth, predictions)


def _class_map(theirs: LabelSet, ours: LabelSet, model: str) -> tuple[int, ...]:
    """For each class of the data set the model's class index."""
    unknown = [name for name in theirs.expressions if name not in ours.expressions]
    if unknown:
        raise ValueError(
            f"label set {theirs.name}: the model {model!r} does not know {', '.join(unknown)}, "
            f"only {', '.join(ours.expressions)}; use a model that does"
        )
    return theirs.indices_in(ours)


def _crop_predictions(
    recognizer: Recognizer, dataset: Dataset, samples: Sequence[Sample]
) -> list[Prediction]:
    return recognizer.classify([dataset.read(sample) for sample in samples])


def _largest_face_predictions(
    recognizer: Recognizer, dataset: Dataset, samples: Sequence[Sample]
) -> Iterator[Prediction | None]:
    for faces in recognizer.recognize_batch(dataset.read(sample) for sample in samples):
        if faces and faces[0].detection_score is None:
            raise ValueError("expected a recognizer with a detector, got one with detector 'none'")
        yield faces[0].prediction if faces else None


def _result(
    recognizer: Recognizer,
    dataset: Dataset,
    detector: str,
    truth: np.ndarray,
    predictions: Sequence[Prediction | None],
) -> EvaluationResult:
    labels = recognizer.meta.labels
    probabilities = np.array(
        [[p.probabilities[name] for name in labels] for p in predictions if p is not None]
    )
    answered = np.array([p is not None for p in predictions])
    predicted = np.full(len(truth), NO_ANSWER)
    if answered.any():
        predicted[answered] = probabilities.argmax(axis=1)
    return EvaluationResult(
        data=dataset.name,
        split=dataset.samples[0].split,
        protocol=dataset.protocol,
        detector=detector,
        model=recognizer.meta.name,
        model_sha256=recognizer.sha256,
        labels=labels,
        n=len(truth),
        no_face=int(np.sum(~answered)),
        accuracy=accuracy(truth, predicted),
        interval=wilson_interval(int(np.sum(truth == predicted)), len(truth)),
        mean_class_accuracy=mean_class_accuracy(truth, predicted),
        macro_f1=macro_f1(truth, predicted),
        nll=negative_log_likelihood(probabilities, truth[answered]) if answered.any() else None,
        brier=brier_score(probabilities, truth[answered]) if answered.any() else None,
        ece=expected_calibration_error(probabilities, truth[answered]) if answered.any() else None,
        per_class=_per_class(truth, predicted, len(labels)),
        confusion=tuple(map(tuple, confusion_matrix(truth, predicted, len(labels)).tolist())),
        skipped=dataset.skipped,
    )


def _per_class(truth: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[ClassResult, ...]:
    scores = class_scores(truth, predicted, classes)
    return tuple(
        ClassResult(_defined(precision), _defined(recall), int(support))
        for precision, recall, support in zip(scores.precision, scores.recall, scores.support, strict=True)
    )


def _defined(rate: float) -> float | None:
    return None if np.isnan(rate) else float(rate)

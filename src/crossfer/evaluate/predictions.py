"""What a model answered to each image of a data set: made in one pass, scored as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from crossfer.data.fingerprint import pixel_digest
from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.evaluate.unreadable import Unreadable
from crossfer.labels import LabelSet
from crossfer.metrics import NO_ANSWER
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Prediction

CHUNK = 64
Transform = Callable[[np.ndarray, str], np.ndarray]


@dataclass(frozen=True)
class About:
    """What predictions are about: everything that has to stand beside a number.

    Attributes:
        data: name of the data set.
        split: which part of it.
        protocol: how labels were made and which images were kept.
        detector: what found the faces; ``"none"`` if the images are face crops.
        model: name of the model.
        model_sha256: checksum of its file, hexadecimal.
        labels: expressions in the model's class order.
    """

    data: str
    split: str
    protocol: str
    detector: str
    model: str
    model_sha256: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """The answers of one model to N images, K classes in the model's order.

    Attributes:
        about: whose answers to what.
        paths: where each image lies, as the data set names it.
        digests: for each image a checksum of its pixels, hexadecimal; equal for identical images.
        truth: (N,) int64 class indices.
        logits: (N, K) float32; a row of NaN where no face was found.
        probabilities: (N, K) float64, calibrated; a row of NaN where no face was found.
        votes: (N, K) float64, shares of the annotators' votes; None where the data set has none.
        skipped: one line for each image or row that was left out.
    """

    about: About
    paths: tuple[str, ...]
    digests: tuple[str, ...]
    truth: np.ndarray
    logits: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    votes: np.ndarray | None = field(repr=False, default=None)
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def answered(self) -> np.ndarray:
        """(N,) bool: a face was found."""
        return ~np.isnan(self.probabilities[:, 0])

    @property
    def predicted(self) -> np.ndarray:
        """(N,) int64: the most probable class, or ``NO_ANSWER``."""
        return np.where(self.answered, np.nan_to_num(self.probabilities).argmax(axis=1), NO_ANSWER)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool: the most probable class is the true one."""
        return self.predicted == self.truth

    @property
    def confidence(self) -> np.ndarray:
        """(N,): probability of the most probable class; 0 where no face was found."""
        return np.nan_to_num(self.probabilities).max(axis=1)

    @property
    def groups(self) -> np.ndarray:
        """(N,) int64, equal for images with the same pixels."""
        return np.unique(np.array(self.digests), return_inverse=True)[1]

    def select(self, rows: np.ndarray) -> Predictions:
        """Those of some images, given as indices or as a mask (N,)."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in chosen),
            digests=tuple(self.digests[i] for i in chosen),
            truth=self.truth[chosen],
            logits=self.logits[chosen],
            probabilities=self.probabilities[chosen],
            votes=None if self.votes is None else self.votes[chosen],
        )


def predict(
    recognizer: Recognizer,
    dataset: Dataset,
    *,
    transform: Transform | None = None,
    unreadable: Unreadable | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Runs a model over a data set: on face crops, or end to end if the recogniser has a detector.

    Images are read and forgotten in chunks of ``CHUNK``; what stays of each are a few numbers.

    Args:
        recognizer: the model. With the detector ``"none"`` every image is a face crop in the model's framing;
            with any other, faces are found first: the largest one counts, and an image without one has no
            answer.
        dataset: labelled images; the model must know all of its classes, and may know more.
        transform: changes each image, uint8 RGB (H, W, 3), before the model sees it; it is also given the
            digest of the unchanged pixels.
        unreadable: what to do about images that cannot be read, by default to stop; those that are skipped
            have no row, and stand in ``Predictions.skipped``.
        progress: called with the number of images done since the last call.

    Raises:
        ValueError: if the model lacks one of the data set's classes.
        DataError: if there are no images that can be read, or one of them cannot be and is not skipped.
    """
    labels = recognizer.meta.labelset
    class_of = _class_map(dataset.labels, labels, recognizer.meta.name)
    if not dataset.samples:
        raise DataError(f"{dataset.name}: expected at least one image under {dataset.protocol}, found none")
    ask = _ask_crops if recognizer.detector_name == "none" else _ask_largest_face
    unreadable = unreadable or Unreadable()
    digests: list[str] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(dataset), CHUNK):
        chunk = dataset.samples[start : start + CHUNK]
        images = _read(dataset, chunk, transform, unreadable, digests)
        parts.append(_arrays(list(ask(recognizer, images)), labels))
        progress(len(chunk))
    logits, probabilities = map(np.concatenate, zip(*parts, strict=True))
    dataset = unreadable.without(dataset)
    return Predictions(
        About(
            dataset.name,
            dataset.samples[0].split,
            dataset.protocol,
            recognizer.detector_name,
            recognizer.meta.name,
            recognizer.sha256,
            labels.expressions,
        ),
        paths=tuple(sample.path for sample in dataset.samples),
        digests=tuple(digests),
        truth=np.array([class_of[sample.label] for sample in dataset.samples]),
        logits=logits,
        probabilities=probabilities,
        votes=_votes(dataset.samples, class_of, len(labels)),
        skipped=(*dataset.skipped, *unreadable.found.values()),
    )


def _class_map(theirs: LabelSet, ours: LabelSet, model: str) -> tuple[int, ...]:
    """For each class of the data set the model's class index."""
    unknown = [name for name in theirs.expressions if not ours.has(name)]
    if unknown:
        raise ValueError(
            f"label set {theirs.name}: the model {model!r} does not know {', '.join(unknown)}, "
            f"only {', '.join(ours.expressions)}; use a model that does"
        )
    return theirs.indices_in(ours)


def _read(
    dataset: Dataset,
    samples: Sequence[Sample],
    transform: Transform | None,
    unreadable: Unreadable,
    digests: list[str],
) -> Iterator[np.ndarray]:
    """The images that can be read, changed; the digest of each is appended to ``digests``."""
    for sample in samples:
        if (pixels := unreadable.read(dataset, sample)) is None:
            continue
        digests.append(pixel_digest(pixels).tobytes().hex())
        yield pixels if transform is None else transform(pixels, digests[-1])


def _ask_crops(recognizer: Recognizer, images: Iterator[np.ndarray]) -> list[Prediction]:
    return recognizer.classify(list(images))


def _ask_largest_face(recognizer: Recognizer, images: Iterator[np.ndarray]) -> Iterator[Prediction | None]:
    for faces in recognizer.recognize_batch(images):
        yield faces[0].prediction if faces else None


def _arrays(answers: Sequence[Prediction | None], labels: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    logits = np.full((len(answers), len(labels)), np.nan, np.float32)
    probabilities = np.full((len(answers), len(labels)), np.nan)
    for row, answer in enumerate(answers):
        if answer is not None:
            logits[row] = answer.logits
            probabilities[row] = [answer.probabilities[name] for name in labels.expressions]
    return logits, probabilities


def _votes(samples: Sequence[Sample], class_of: Sequence[int], classes: int) -> np.ndarray | None:
    """Votes in the model's class order; None if a sample has none."""
    if any(sample.votes is None for sample in samples):
        return None
    votes = np.zeros((len(samples), classes))
    votes[:, list(class_of)] = [sample.votes for sample in samples]
    return votes

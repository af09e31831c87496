"""From photos to faces with expressions."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from crossfer.calibration import Calibration, prediction_sets, softmax
from crossfer.runtime.align import crop_face
from crossfer.runtime.bundle import BundleError, BundleMeta, read_bundle
from crossfer.runtime.detector import CenterFace, Detection, Detector
from crossfer.runtime.image import ImageSource, load_image
from crossfer.runtime.preprocess import normalize, resize_crop
from crossfer.runtime.session import ModelSession
from crossfer.types import Box, Face, Prediction


@dataclass(frozen=True)
class Located:
    """Faces that were found in an image and not recognised yet.

    Attributes:
        places: largest first; the whole image as a box where no detector ran.
        inputs: what the model will see of each, uint8, shape (C, S, S).
    """

    places: tuple[Detection | Box, ...]
    inputs: tuple[np.ndarray, ...]


class Recognizer:
    """Finds the faces in an image and recognises the expression of each; nothing leaves the machine.

    One instance may be used by several threads at once.

    Example::

        from crossfer import Recognizer

        for face in Recognizer().recognize("photo.jpg"):
            print(face.expression, face.confidence, face.box)

    Args:
        model: ``"default"`` for the embedded model, or the path of a bundle.
        detector: ``"centerface"``; ``"none"`` if every image is a face crop in the model's framing; or your
            own.
        min_face_score: faces that the CenterFace detector is less sure of (0..1) are left out.
        threads: CPU threads for each of detector and model; None lets ONNX Runtime decide.
        coverage: give each face a ``prediction_set`` that holds the true expression with this frequency
            (0.5 to 0.999) on data like that of the calibration.
        abstain: answer "uncertain" below the confidence that the calibration found.

    Raises:
        BundleError: if the model cannot be used, or lacks the calibration that ``coverage`` or ``abstain``
            needs; the message says why.
        ValueError: if a setting is out of its range.
    """

    def __init__(
        self,
        model: str | Path = "default",
        detector: Literal["centerface", "none"] | Detector = "centerface",
        min_face_score: float = 0.5,
        threads: int | None = None,
        *,
        coverage: float | None = None,
        abstain: bool = False,
    ) -> None:
        if isinstance(detector, str) and detector not in ("centerface", "none"):
            raise ValueError(f"detector: expected 'centerface', 'none' or a Detector, got {detector!r}")
        if not 0 < min_face_score < 1:
            raise ValueError(f"min_face_score: expected a number between 0 and 1, got {min_face_score}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        bundle = read_bundle(model, threads=threads)
        self.meta: BundleMeta = bundle.meta
        self.sha256: str = bundle.sha256
        self._set_threshold = None if coverage is None else _calibrated(self.meta).set_threshold(coverage)
        self._least_confidence = _least_confidence(self.meta) if abstain else None
        self._session = ModelSession(bundle)
        self._detector = detector
        self._min_face_score = min_face_score
        self._threads = threads
        self._lock = threading.Lock()

    def recognize(self, image: ImageSource) -> list[Face]:
        """The faces in one image, largest first; an empty list if there are none.

        Args:
            image: a path, the bytes of an image file, a PIL image, or uint8 RGB pixels of shape (H, W, 3).

        Raises:
            ImageError: if the image cannot be used.
        """
        return self.recognize_batch([image])[0]

    def recognize_batch(self, images: Iterable[ImageSource]) -> list[list[Face]]:
        """The faces in each of several images; the faces of all images go through the model together.

        Images are read one after the other, so that only their face crops are held in memory.

        Args:
            images: as ``recognize`` takes them.

        Raises:
            ImageError: if one of the images cannot be used; the message names it.
        """
        return self.recognize_located(map(self.locate, images))

    def locate(self, image: ImageSource) -> Located:
        """The first half of ``recognize``: where faces are, and what the model will see of them.

        With ``recognize_located`` it lets faces of many images go through the model together while the images
        themselves are let go, and each image may fail on its own.

        Args:
            image: as ``recognize`` takes it.

        Raises:
            ImageError: if the image cannot be used.
        """
        pixels = load_image(image)
        places = self._places(pixels)
        return Located(
            tuple(places),
            tuple(resize_crop(self._cut(pixels, place), self.meta.input) for place in places),
        )

    def recognize_located(self, located: Iterable[Located]) -> list[list[Face]]:
        """The second half: the faces of each image that ``locate`` has seen, in the same order."""
        seen = list(located)
        predictions = iter(self._predict([crop for one in seen for crop in one.inputs]))
        return [[_face(place, next(predictions)) for place in one.places] for one in seen]

    def classify(self, crops: Sequence[ImageSource]) -> list[Prediction]:
        """The expressions of images that are face crops already, in the model's framing; no detector runs.

        Args:
            crops: as ``recognize`` takes them, of any sizes; each is squeezed to the model's square input.

        Raises:
            ImageError: if one of the crops cannot be used.
        """
        return self._predict([resize_crop(load_image(crop), self.meta.input) for crop in crops])

    def _places(self, image: np.ndarray) -> Sequence[Detection | Box]:
        """Where the faces are, largest first; the whole image if no detector is wanted."""
        detector = self._loaded_detector()
        if detector is None:
            return [Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))]
        detections = detector.detect(image)
        detections.sort(key=lambda detection: detection.box.area, reverse=True)
        return detections

    def _loaded_detector(self) -> Detector | None:
        if not isinstance(self._detector, str):
            return self._detector
        if self._detector == "none":
            return None
        with self._lock:
            if isinstance(self._detector, str):
                self._detector = CenterFace(min_score=self._min_face_score, threads=self._threads)
            return self._detector

    def _cut(self, image: np.ndarray, place: Detection | Box) -> np.ndarray:
        return image if isinstance(place, Box) else crop_face(image, place, self.meta.input.crop)

    def _predict(self, inputs: Sequence[np.ndarray]) -> list[Prediction]:
        if not inputs:
            return []
        logits, evidence = self._session.run(normalize(np.stack(inputs), self.meta.input))
        probabilities = softmax(logits, self.meta.temperature, self.meta.bias)
        return [
            Prediction(
                dict(zip(self.meta.labels, face.tolist(), strict=True)),
                scores,
                cells,
                prediction_set=self._prediction_set(face),
                abstained=None
                if self._least_confidence is None
                else bool(face.max() < self._least_confidence),
            )
            for face, scores, cells in zip(probabilities, logits, evidence, strict=True)
        ]

    def _prediction_set(self, probabilities: np.ndarray) -> tuple[str, ...] | None:
        if self._set_threshold is None:
            return None
        (members,) = prediction_sets(probabilities[None], self._set_threshold)
        return tuple(self.meta.labels[k] for k in np.argsort(-probabilities, kind="stable") if members[k])


def _calibrated(meta: BundleMeta) -> Calibration:
    if meta.calibration is None:
        raise BundleError(
            f"model {meta.name!r}: expected a calibrated model for prediction sets and abstention, found one "
            "without; calibrate it first: crossfer calibrate MODEL --data NAME --root DIR -o FILE"
        )
    return meta.calibration


def _least_confidence(meta: BundleMeta) -> float:
    abstention = _calibrated(meta).abstention
    if abstention is None:
        raise BundleError(
            f"model {meta.name!r}: no confidence gave the selective accuracy that calibration asked for; "
            "calibrate it with a lower --selective-accuracy"
        )
    return abstention.threshold


def _face(place: Detection | Box, prediction: Prediction) -> Face:
    if isinstance(place, Box):
        return Face(place, (), None, prediction)
    return Face(place.box, place.landmarks, place.score, prediction)

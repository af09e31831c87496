"""From photos to faces with expressions."""

from __future__ import annotations

import reprlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import numpy as np
from PIL import Image

from crossfer.calibration import softmax
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE, DetectorName, set_in_vain
from crossfer.images.read import ImageError, ImageSource, load_image
from crossfer.runtime.align import crop_face
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.centerface import MULTIPLE, CenterFace
from crossfer.runtime.decision import Decision
from crossfer.runtime.detection import Detection, Detector, detect
from crossfer.runtime.preprocess import normalize, resize_crop
from crossfer.types import Box, Face, Prediction

Done = TypeVar("Done")


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one image, cut out and ready for the model.

    Attributes:
        width: of the upright image in pixels.
        height: of the upright image in pixels.
        places: where the faces are, largest first; the whole image where no detector ran.
        inputs: uint8, shape (F, C, S, S), one for each place.
        left_out: smaller faces that were found but not kept.
    """

    width: int
    height: int
    places: tuple[Detection | Box, ...]
    inputs: np.ndarray = field(repr=False, compare=False)
    left_out: int = 0


class Recognizer:
    """Finds the faces in an image and recognises the expression of each; nothing leaves the machine.

    One instance may be used by several threads at once, also on one PIL image.

    Example::

        from crossfer import Recognizer

        for face in Recognizer().recognize("photo.jpg"):
            print(face.expression, face.confidence, face.box)

    Args:
        model: ``"base"`` (also ``"default"``) or ``"tiny"``, the path of a bundle, or its content.
        detector: ``"centerface"``; ``"none"`` if every image is a face crop in the model's framing; or an
            object of your own whose ``detect`` takes uint8 RGB pixels of shape (H, W, 3) and gives a
            ``Detection`` a face, without landmarks if it knows none.
        min_face_score: faces that the CenterFace detector is less sure of (0..1) are left out.
        threads: CPU threads for each of detector and model, 1 to 1024; None for one a core, within a
            container's share.
        coverage: give each face a ``prediction_set`` that holds the true expression with this frequency
            (0.5 to 0.999) on data like that of the calibration.
        abstain: answer "uncertain" below the confidence that the calibration found.
        detector_side: the CenterFace detector looks at a copy whose longer side has at most so many pixels.
            At 640 it finds faces of at least about a fortieth of a larger image's longer side, at 1920 of a
            third of that; the time grows with the square.

    Attributes:
        meta: what the model says about itself: labels, input, calibration and so on.
        path: the model's file; None if its content was given.
        sha256: checksum of the content, hexadecimal.
        detector_name: ``"centerface"`` or ``"none"``; of a detector of your own its class.
        detector_side: as it was given.
        coverage: as it was given.
        abstain: as it was given.
        decision: what coverage and abstention make of a face's probabilities.

    Raises:
        BundleError: if the model cannot be used, lacks the calibration that ``coverage`` or ``abstain``
            needs, or has a class called "uncertain" beside ``abstain``; the message says why.
        ValueError: if a setting is of another type or out of its range, or is for a detector that is not
            asked.
    """

    def __init__(
        self,
        model: str | Path | bytes = "default",
        detector: DetectorName | Detector = "centerface",
        min_face_score: float = MIN_FACE_SCORE,
        threads: int | None = None,
        *,
        coverage: float | None = None,
        abstain: bool = False,
        detector_side: int = DETECTOR_SIDE,
    ) -> None:
        _need(isinstance(model, str | Path | bytes), "model: expected a name, a path or bytes", model)
        _check_detector(detector, min_face_score, detector_side)
        _check_answers(coverage, abstain)
        bundle = read_bundle(model, threads=threads)
        self.meta: Final = bundle.meta
        self.path: Final = bundle.path
        self.sha256: Final = bundle.sha256
        self.detector_name: Final = detector if isinstance(detector, str) else type(detector).__name__
        self.detector_side: Final = detector_side
        self.coverage: Final = coverage
        self.abstain: Final = abstain
        self.decision: Final = Decision.of(bundle.meta, coverage, abstain=abstain)
        self._session = bundle.session
        self._own_detector = None if isinstance(detector, str) else detector
        self._centerface: Detector | None = None
        self._min_face_score = min_face_score
        self._threads = threads
        self._lock = threading.Lock()

    def recognize(self, image: ImageSource) -> list[Face]:
        """The faces in one image, largest first; an empty list if there are none.

        Args:
            image: a path; the bytes of an image file, or the file opened for bytes; a PIL image; or uint8
                pixels of shape (H, W, 3) in RGB, or (H, W) or (H, W, 1) in grey.

        Raises:
            BundleError: if the model's answers are not finite, as with damaged weights.
            ImageError: if the image cannot be used.
            MemoryError: if there is too little memory for it; the image may be whole.
            TypeError: if it is none of these, or several.
        """
        return self.answer([self.find(image)])[0]

    def recognize_batch(self, images: Iterable[ImageSource]) -> list[list[Face]]:
        """The faces in each of several images; the faces of all images go through the model together.

        Images are read one after the other, so that only their face crops are held in memory.

        Args:
            images: as ``recognize`` takes them.

        Raises:
            BundleError: if the model's answers are not finite, as with damaged weights.
            ImageError: if one of the images cannot be used; the message names its path, or its place as
                ``images[0]`` and so on.
            TypeError: if it is a single image, and not several.
        """
        return self.answer(_each(self.find, images, "images"))

    def draw(self, image: ImageSource, faces: Sequence[Face]) -> Image.Image:
        """A picture of what was recognised, as ``crossfer predict --annotate`` draws it.

        Boxes, expressions and confidence, over each face the evidence for its expression (orange for it, blue
        against it), and beside the photo the likeliest expressions of each face. Letters that Pillow's own
        font lacks are drawn in a font of the system, or as boxes where it has none of the common ones.

        Args:
            image: as ``recognize`` takes it.
            faces: what ``recognize`` gave for it.

        Returns:
            RGB; the photo with a longer side of 1,024 to 2,048 pixels, and the panel beside it.

        Raises:
            ImageError: if the image cannot be used.
            TypeError: if it is a single face, or one of them is no ``Face``.
        """
        from crossfer.runtime.annotate import annotate  # noqa: PLC0415 - fonts are for those who draw

        _require_faces(faces)
        return annotate(load_image(image), faces, self.meta.input.crop)

    def find(self, image: ImageSource, max_faces: int | None = None) -> FoundFaces:
        """Finds and cuts out the faces of one image: the half of ``recognize`` before the model.

        With ``answer``, the faces of images that come at different times can go through the model together.

        Args:
            image: as ``recognize`` takes it.
            max_faces: keep only that many, the largest; None keeps all.

        Raises:
            ImageError: if the image cannot be used.
            ValueError: if ``max_faces`` is no integer of at least 0.
        """
        fits = max_faces is None or (isinstance(max_faces, int | np.integer) and max_faces >= 0)
        _need(fits, "max_faces: expected an integer of at least 0, or None", max_faces)
        pixels = load_image(image)
        places = self._places(pixels)
        kept = places[:max_faces]
        inputs = np.empty((len(kept), *self.meta.input.shape), np.uint8)
        for index, place in enumerate(kept):
            inputs[index] = resize_crop(self._cut(pixels, place), self.meta.input)
        return FoundFaces(pixels.shape[1], pixels.shape[0], tuple(kept), inputs, len(places) - len(kept))

    def answer(self, found: Sequence[FoundFaces]) -> list[list[Face]]:
        """Recognises what ``find`` found, all faces together: the half of ``recognize`` that is the model.

        Raises:
            BundleError: if the model's answers are not finite, as with damaged weights.
        """
        if not found:
            return []
        predictions = iter(self._predict(np.concatenate([one.inputs for one in found])))
        return [[_face(place, next(predictions)) for place in one.places] for one in found]

    def classify(self, crops: Sequence[ImageSource]) -> list[Prediction]:
        """The expressions of images that are face crops already, in the model's framing; no detector runs.

        Args:
            crops: as ``recognize`` takes them, of any sizes; each is squeezed to the model's square input.

        Raises:
            BundleError: if the model's answers are not finite, as with damaged weights.
            ImageError: if one of the crops cannot be used; the message names its path, or its place as
                ``crops[0]`` and so on.
            TypeError: if it is a single image, and not several.
        """
        inputs = _each(lambda crop: resize_crop(load_image(crop), self.meta.input), crops, "crops")
        return self._predict(np.stack(inputs)) if inputs else []

    def detector_for(self, min_face_score: float) -> Detector:
        """A detector for whoever looks for faces in another way than ``find``.

        Args:
            min_face_score: of the CenterFace detector, instead of the recogniser's own.

        Returns:
            The detector that was given as an object; else a new CenterFace, on as many threads and with as
            large a look as the recogniser's, also where that is asked for none.
        """
        if self._own_detector is not None:
            return self._own_detector
        return CenterFace(min_score=min_face_score, long_side=self.detector_side, threads=self._threads)

    def _places(self, image: np.ndarray) -> Sequence[Detection | Box]:
        """Where the faces are, largest first; the whole image if no detector is wanted."""
        detector = self._loaded_detector()
        if detector is None:
            return [Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))]
        return sorted(detect(detector, image), key=attrgetter("box.area"), reverse=True)

    def _loaded_detector(self) -> Detector | None:
        if self._own_detector is not None or self.detector_name == "none":
            return self._own_detector
        with self._lock:
            if self._centerface is None:
                self._centerface = self.detector_for(self._min_face_score)
            return self._centerface

    def _cut(self, image: np.ndarray, place: Detection | Box) -> np.ndarray:
        return image if isinstance(place, Box) else crop_face(image, place, self.meta.input.crop)

    def _predict(self, inputs: np.ndarray) -> list[Prediction]:
        """Predictions for uint8 inputs of shape (F, C, S, S); F may be 0."""
        logits, evidence = self._session.run(normalize(inputs, self.meta.input))
        if not len(logits):
            return []
        probabilities = softmax(logits, self.meta.temperature, self.meta.bias)
        return [
            self.decision(
                Prediction(
                    dict(zip(self.meta.labels, face.tolist(), strict=True)), _kept(scores), _kept(cells)
                )
            )
            for face, scores, cells in zip(probabilities, logits, evidence, strict=True)
        ]


def _check_detector(detector: Any, min_face_score: Any, detector_side: Any) -> None:
    own = not isinstance(detector, type) and callable(getattr(detector, "detect", None))
    _need(
        own or detector in get_args(DetectorName),
        "detector: expected 'centerface', 'none' or a Detector, which has a method detect",
        detector,
    )
    _need(
        isinstance(min_face_score, int | float | np.number) and 0 < min_face_score < 1,
        "min_face_score: expected a number between 0 and 1",
        min_face_score,
    )
    _need(
        isinstance(detector_side, int | np.integer) and detector_side >= MULTIPLE,
        f"detector_side: expected an integer of at least {MULTIPLE} pixels",
        detector_side,
    )
    if name := set_in_vain(detector, min_face_score, detector_side):
        raise ValueError(f"{name}: is for the CenterFace detector, which is not asked here; leave it out")


def _check_answers(coverage: Any, abstain: Any) -> None:
    """The range of the coverage is the calibration's to check."""
    number = isinstance(coverage, int | float | np.number)
    _need(coverage is None or number, "coverage: expected a number", coverage)
    _need(isinstance(abstain, bool | np.bool_), "abstain: expected True or False", abstain)


def _need(fits: object, expected: str, found: object) -> None:
    if not fits:
        raise ValueError(f"{expected}, got {reprlib.repr(found)}")


def _several(images: Iterable[ImageSource]) -> Iterable[ImageSource]:
    # Of one image, and not grey ones in a stack.
    pixels = isinstance(images, np.ndarray) and (
        images.ndim == 2 or images.shape[2:] in ((1,), (2,), (3,), (4,))
    )
    one = isinstance(images, str | bytes | bytearray | memoryview | Path | Image.Image)
    if pixels or one or hasattr(images, "read"):
        raise TypeError(f"expected several images, got one {type(images).__name__}; put it into a list")
    return images


def _each(work: Callable[[ImageSource], Done], images: Iterable[ImageSource], name: str) -> list[Done]:
    """What work makes of each image; an error about one that has no path says where among them it is."""
    done = []
    for index, image in enumerate(_several(images)):
        try:
            done.append(work(image))
        except (ImageError, TypeError) as error:
            named = isinstance(image, str | Path) and (str(image), str(Path(image)))  # without ./
            if named and any(name in str(error) for name in named):
                raise
            raise type(error)(f"{name}[{index}]: {error}") from error
    return done


def _kept(values: np.ndarray) -> np.ndarray:
    """One face's values, read-only, and without those of its batch, which a view would keep alive."""
    own = values.copy()
    own.flags.writeable = False
    return own


def _require_faces(faces: Sequence[Face]) -> None:
    if isinstance(faces, Face):
        raise TypeError("expected the faces of the image, got one Face; put it into a list")
    for face in faces:
        if not isinstance(face, Face):
            raise TypeError(f"expected the faces that recognize gives, got {type(face).__name__} among them")


def _face(place: Detection | Box, prediction: Prediction) -> Face:
    if isinstance(place, Box):
        return Face(place, (), None, prediction)
    return Face(place.box, place.landmarks, place.score, prediction)

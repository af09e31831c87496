import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import crossfer
from crossfer import Recognizer
from crossfer.calibration import softmax
from crossfer.images.read import ImageError
from crossfer.labels import FERPLUS
from crossfer.runtime.align import crop_face
from crossfer.runtime.annotate import annotate, seen_region
from crossfer.runtime.bundle import BundleError
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.decision import Decision
from crossfer.runtime.detection import Detection
from crossfer.types import Box
from support.bundles import calibrated_bundle, calibration


@pytest.fixture(scope="module")
def recognizer(tiny_model) -> Recognizer:
    return Recognizer(tiny_model, threads=1)


@pytest.fixture(scope="module")
def group(astronaut) -> np.ndarray:
    """Two faces, the smaller one on the left."""
    small = np.zeros_like(astronaut)
    small[:256, :256] = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    return np.concatenate([small, astronaut], axis=1)


def test_every_kind_of_source_gives_the_same_faces(recognizer, astronaut, astronaut_path):
    expected = recognizer.recognize(astronaut_path)
    assert len(expected) == 1
    content = astronaut_path.read_bytes()
    for source in (str(astronaut_path), content, Image.open(io.BytesIO(content)), astronaut):
        assert recognizer.recognize(source) == expected


def test_a_face_tells_where_and_what(recognizer, astronaut_path):
    (face,) = recognizer.recognize(astronaut_path)
    assert face.box.center == pytest.approx((226, 118), abs=8)
    assert len(face.landmarks) == 5
    assert face.detection_score is not None
    assert face.detection_score > 0.8
    assert tuple(face.prediction.probabilities) == FERPLUS.expressions
    assert sum(face.prediction.probabilities.values()) == pytest.approx(1)
    assert face.expression == max(
        face.prediction.probabilities, key=face.prediction.probabilities.__getitem__
    )
    assert face.prediction.evidence.shape == (8, 6, 6)
    np.testing.assert_allclose(face.prediction.evidence.sum(axis=(1, 2)), face.prediction.logits, rtol=1e-4)


def test_the_temperature_scales_the_logits(recognizer, astronaut):
    (face,) = recognizer.recognize(astronaut)
    scaled = np.exp(face.prediction.logits.astype(float) / recognizer.meta.temperature)
    assert list(face.prediction.probabilities.values()) == pytest.approx(list(scaled / scaled.sum()))


def test_the_largest_face_comes_first(recognizer, group):
    faces = recognizer.recognize(group)
    assert len(faces) == 2
    assert faces[0].box.area > 2 * faces[1].box.area
    assert faces[0].box.x > 512


def test_a_batch_gives_what_single_images_give(recognizer, astronaut, group):
    blank = np.zeros((40, 40, 3), np.uint8)
    images = [group, blank, astronaut, group[:, ::-1].copy()]
    together = recognizer.recognize_batch(images)
    assert together[1] == []
    for faces, image in zip(together, images, strict=True):
        alone = recognizer.recognize(image)
        assert [face.box for face in faces] == [face.box for face in alone]
        for face, other in zip(faces, alone, strict=True):
            np.testing.assert_allclose(face.prediction.logits, other.prediction.logits, rtol=1e-5, atol=1e-5)
    assert recognizer.recognize_batch([]) == []


def test_classifying_the_crop_gives_what_recognising_the_photo_gives(recognizer, astronaut):
    (face,) = recognizer.recognize(astronaut)
    (found,) = CenterFace(threads=1).detect(astronaut)
    crop = crop_face(astronaut, found, recognizer.meta.input.crop)
    (prediction,) = recognizer.classify([crop])
    assert prediction == face.prediction
    assert recognizer.classify([]) == []


def test_without_a_detector_the_whole_image_is_the_face(tiny_model, astronaut):
    bare = Recognizer(tiny_model, detector="none", threads=1)
    crop = np.ascontiguousarray(astronaut[60:180, 166:286])
    (face,) = bare.recognize(crop)
    assert face.box == Box(0, 0, 120, 120)
    assert face.landmarks == ()
    assert face.detection_score is None
    assert face.prediction == bare.classify([crop])[0]


def test_the_detector_is_loaded_when_first_needed(tiny_model, astronaut, monkeypatch):
    loaded = []

    def counted(**settings):
        loaded.append(settings)
        return CenterFace(**settings)

    monkeypatch.setattr("crossfer.runtime.recognizer.CenterFace", counted)
    recognizer = Recognizer(tiny_model, min_face_score=0.6, threads=1)
    recognizer.classify([astronaut])
    assert loaded == []
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: recognizer.recognize(astronaut), range(4)))
    assert loaded == [{"min_score": 0.6, "long_side": 640, "threads": 1}]
    assert all(answer == answers[0] for answer in answers)


def test_a_detector_of_ones_own(tiny_model, astronaut):
    class Fixed:
        def detect(self, image: np.ndarray) -> list[Detection]:
            points = ((200.0, 100.0), (250.0, 100.0), (225.0, 120.0), (205.0, 140.0), (245.0, 140.0))
            return [
                Detection(Box(10, 10, 20, 20), 0.5, points),
                Detection(Box(180, 60, 90, 120), 0.4, points),
            ]

    faces = Recognizer(tiny_model, detector=Fixed()).recognize(astronaut)
    assert [face.box.width for face in faces] == [90, 20]


def test_a_detector_that_knows_no_landmarks(tiny_model, astronaut):
    class Boxes:
        def detect(self, image: np.ndarray) -> list[Detection]:
            return [Detection(Box(180, 60, 90, 120), 0.4)]

    recognizer = Recognizer(tiny_model, detector=Boxes(), threads=1)
    (face,) = recognizer.recognize(astronaut)
    assert (face.landmarks, face.detection_score, face.to_dict()["landmarks"]) == ((), 0.4, [])
    (alone,) = recognizer.classify([astronaut[60:180, 165:285]])
    assert face.prediction == alone
    seen = seen_region(face, recognizer.meta.input.crop)
    assert seen == (165, 60, 120, 120)
    assert recognizer.draw(astronaut, [face]).width > 1024


def test_what_a_detector_of_ones_own_gives_must_be_detections(tiny_model, astronaut):
    class Boxes:
        def detect(self, image: np.ndarray) -> list:
            return [(10, 10, 20, 20)]

    with pytest.raises(TypeError, match=r"expected Boxes\.detect to give crossfer\.Detection, got tuple"):
        Recognizer(tiny_model, detector=Boxes()).recognize(astronaut)

    class Nothing:
        def detect(self, image: np.ndarray) -> None:
            pass

    with pytest.raises(
        TypeError, match=r"expected Nothing\.detect to give a list, empty for no face, got None"
    ):
        Recognizer(tiny_model, detector=Nothing()).recognize(astronaut)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", [list, tuple])
def test_what_a_detector_of_ones_own_gives_stays_as_it_is(tiny_model, astronaut, kind):
    points = ((200.0, 100.0), (250.0, 100.0), (225.0, 120.0), (205.0, 140.0), (245.0, 140.0))
    small, large = (Detection(Box(180, 60, side, side), 0.5, points) for side in (20, 90))
    given = kind([small, large])

    class Fixed:
        def detect(self, image: np.ndarray) -> list[Detection]:
            return given

    faces = Recognizer(tiny_model, detector=Fixed()).recognize(astronaut)
    assert [face.box.width for face in faces] == [90, 20]
    assert given == kind([small, large])


def test_it_says_what_it_was_made_with(tiny_model, tmp_path):
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=0.3))
    asked = Recognizer(model, "none", coverage=0.9, abstain=True)
    assert (asked.path, asked.detector_name, asked.coverage, asked.abstain) == (model, "none", 0.9, True)
    assert asked.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert asked.decision == Decision.of(asked.meta, 0.9, abstain=True)
    plain = Recognizer(tiny_model, CenterFace())
    assert (plain.detector_name, plain.coverage, plain.abstain) == ("CenterFace", None, False)
    assert plain.decision == Decision()


def test_a_model_may_be_given_as_bytes(tiny_model, astronaut):
    file, read = Recognizer(tiny_model, "none"), Recognizer(tiny_model.read_bytes(), "none")
    assert (read.path, read.sha256, read.meta) == (None, file.sha256, file.meta)
    assert read.recognize(astronaut)[0].to_dict() == file.recognize(astronaut)[0].to_dict()


def test_it_draws_what_it_recognised(tiny_model, astronaut, astronaut_path):
    recognizer = Recognizer(tiny_model)
    faces = recognizer.recognize(astronaut)
    drawn = recognizer.draw(astronaut, faces)
    assert drawn.tobytes() == annotate(astronaut, faces, recognizer.meta.input.crop).tobytes()
    assert recognizer.draw(astronaut_path, faces).tobytes() == drawn.tobytes()
    assert recognizer.draw(astronaut, []).tobytes() != drawn.tobytes()


def test_a_prediction_does_not_change_and_keeps_no_other_faces(recognizer, astronaut):
    for prediction in recognizer.classify([astronaut, astronaut]):
        for values in (prediction.logits, prediction.evidence):
            assert values.base is None
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 99


def test_what_are_no_faces_is_not_drawn(recognizer, astronaut):
    predictions = recognizer.classify([astronaut])
    with pytest.raises(TypeError, match="expected the faces that recognize gives, got Prediction among them"):
        recognizer.draw(astronaut, predictions)
    (face,) = recognizer.recognize(astronaut)
    with pytest.raises(TypeError, match="expected the faces of the image, got one Face; put it into a list"):
        recognizer.draw(astronaut, face)


def test_an_image_without_a_name_is_told_by_its_place(recognizer, astronaut, tmp_path):
    for several, name in ((recognizer.recognize_batch, "images"), (recognizer.classify, "crops")):
        with pytest.raises(ImageError, match=rf"^{name}\[1\]: image bytes: expected a JPEG"):
            several([astronaut, b"no image"])
        with pytest.raises(ImageError, match=rf"^{name}\[2\]: expected uint8 pixels"):
            several(iter([astronaut, astronaut, astronaut.astype(float)]))
        with pytest.raises(ImageError, match=rf"^{tmp_path}/none.png: no such file"):
            several([astronaut, tmp_path / "none.png"])
    with pytest.raises(ImageError, match=r"^image bytes: expected"):
        recognizer.recognize(b"no image")


def test_a_higher_score_leaves_out_more(tiny_model, astronaut):
    assert Recognizer(tiny_model, min_face_score=0.99).recognize(astronaut) == []


def test_bad_images_raise_image_error(recognizer, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        recognizer.recognize(tmp_path / "none.png")
    with pytest.raises(ImageError, match="found something else"):
        recognizer.recognize_batch([np.zeros((9, 9, 3), np.uint8), b"no image"])


def test_a_coverage_gives_sets_and_abstention_answers_uncertain(tmp_path, astronaut):
    model = calibrated_bundle(tmp_path / "sure.onnx", calibration(threshold=0.0, set_threshold=0.05))
    (face,) = Recognizer(model).recognize(astronaut)
    assert face.prediction.prediction_set is face.prediction.abstained is None
    assert set(face.prediction.to_dict()) == {"expression", "confidence", "probabilities"}
    (face,) = Recognizer(model, coverage=0.9, abstain=True).recognize(astronaut)
    expected = tuple(name for name, p in face.prediction.top(8) if p >= 0.05)
    assert face.prediction.prediction_set == expected
    assert face.prediction.answer == face.expression
    unsure = calibrated_bundle(tmp_path / "unsure.onnx", calibration(threshold=1.0, set_threshold=1.0))
    (face,) = Recognizer(unsure, coverage=0.9, abstain=True).recognize(astronaut)
    assert face.prediction.prediction_set == (face.expression,)
    assert face.prediction.abstained is True
    assert face.prediction.to_dict()["answer"] == face.prediction.answer == "uncertain"
    assert face.prediction.to_dict()["expression"] == face.expression


def test_a_bias_shifts_the_probabilities(tmp_path, tiny_model, astronaut):
    bias = (0.0, 0, 0, 0, 0, 0, 0, 50)
    model = calibrated_bundle(tmp_path / "bias.onnx", replace(calibration(), bias=bias))
    assert Recognizer(model).classify([astronaut])[0].expression == "contempt"
    logits = Recognizer(tiny_model).classify([astronaut])[0].logits
    np.testing.assert_array_equal(Recognizer(model).classify([astronaut])[0].logits, logits)


@pytest.mark.parametrize("most", [-1, 1.5, "2"])
def test_a_number_of_faces_that_cannot_be_is_refused(recognizer, most):
    with pytest.raises(ValueError, match=r"^max_faces: expected an integer of at least 0, or None, got "):
        recognizer.find(np.zeros((8, 8, 3), np.uint8), max_faces=most)


@pytest.mark.parametrize("wish", [{"coverage": 0.9}, {"abstain": True}])
def test_a_model_without_calibration_says_how_to_get_it(tiny_model, tmp_path, wish):
    with pytest.raises(BundleError, match=r"model 'tiny': expected a calibrated model .* crossfer calibrate"):
        Recognizer(tiny_model, **wish)
    never = calibrated_bundle(tmp_path / "never.onnx", replace(calibration(), abstention=None))
    with pytest.raises(BundleError, match="--selective-accuracy"):
        Recognizer(never, abstain=True)
    with pytest.raises(ValueError, match=r"from 0\.5 to 0\.999, got 0\.3"):
        Recognizer(never, coverage=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detector": "haar"}, "expected 'centerface', 'none' or a Detector, which .* got 'haar'"),
        ({"detector": object()}, "which has a method detect, got <object"),
        ({"detector": CenterFace}, "which has a method detect, got <class"),
        ({"detector": None}, "which has a method detect, got None"),
        ({"min_face_score": 1.5}, "expected a number between 0 and 1, got 1.5"),
        ({"min_face_score": "0.7"}, "expected a number between 0 and 1, got '0.7'"),
        ({"model": 123}, "model: expected a name, a path or bytes, got 123"),
        ({"threads": 0}, "expected an integer from 1 to 1024, got 0"),
        ({"threads": "2"}, "threads: expected an integer from 1 to 1024, got '2'"),
        ({"threads": 1.5}, "threads: expected an integer from 1 to 1024, got 1.5"),
        ({"threads": 1025}, "threads: expected an integer from 1 to 1024, got 1025"),
        ({"threads": True}, "threads: expected an integer from 1 to 1024, got True"),
        ({"coverage": "0.9"}, "coverage: expected a number, got '0.9'"),
        ({"abstain": "no"}, "abstain: expected True or False, got 'no'"),
        ({"detector_side": 8}, "expected an integer of at least 32 pixels, got 8"),
        ({"detector_side": "640"}, "expected an integer of at least 32 pixels, got '640'"),
        ({"detector": "none", "min_face_score": 0.7}, "min_face_score: is for the CenterFace detector"),
        ({"detector": "none", "detector_side": 1920}, "detector_side: is for the CenterFace detector"),
    ],
)
def test_bad_settings_say_what_is_expected(tiny_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        Recognizer(**({"model": tiny_model} | arguments))


def test_a_whole_model_is_not_repeated_to_who_gave_it_as_something_else(tiny_model):
    with pytest.raises(ValueError, match="model: expected a name, a path or bytes, got") as wrong:
        Recognizer(bytearray(tiny_model.read_bytes()))
    assert len(str(wrong.value)) < 200


def test_a_missing_model_says_so(tmp_path):
    with pytest.raises(BundleError, match="no such model file"):
        Recognizer(tmp_path / "none.onnx")


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=9), st.floats(0.05, 20))
def test_softmax_gives_probabilities_whatever_the_logits(logits, temperature):
    (probabilities,) = softmax(np.array([logits]), temperature)
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities >= 0).all()
    assert probabilities[np.argmax(logits)] == probabilities.max()


def test_the_package_offers_what_it_says():
    assert crossfer.__all__ == sorted(crossfer.__all__)
    for name in crossfer.__all__:
        assert getattr(crossfer, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nonesuch'"):
        crossfer.Nonesuch  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_the_two_halves_together_are_the_whole(recognizer, astronaut, group):
    images = [astronaut, np.zeros((40, 50, 3), np.uint8), group]
    found = [recognizer.find(image) for image in images]
    assert [(one.width, one.height) for one in found] == [(512, 512), (50, 40), (1024, 512)]
    assert [len(one.places) for one in found] == [1, 0, 2]
    assert all(one.inputs.shape == (len(one.places), 1, 48, 48) for one in found)
    assert recognizer.answer(found) == recognizer.recognize_batch(images)
    assert recognizer.answer([]) == []


def test_only_the_largest_faces_are_kept_and_the_others_counted(recognizer, group):
    found = recognizer.find(group, max_faces=1)
    assert (len(found.places), found.left_out) == (1, 1)
    assert recognizer.answer([found])[0] == recognizer.recognize(group)[:1]


@pytest.mark.parametrize(
    "one",
    [
        "photo.jpg",
        b"bytes",
        bytearray(b"bytes"),
        io.BytesIO(b"bytes"),
        Path("photo.jpg"),
        Image.new("RGB", (9, 9)),
        np.zeros((9, 9, 3), np.uint8),
        np.zeros((9, 9, 1), np.uint8),
        np.zeros((9, 9, 2), np.uint8),
        np.zeros((9, 9), np.uint8),
    ],
)
def test_one_image_where_several_are_expected_is_told(tiny_model, one):
    recognizer = Recognizer(tiny_model, "none")
    for several in (recognizer.recognize_batch, recognizer.classify):
        with pytest.raises(TypeError, match=r"expected several images, got one \w+; put it into a list"):
            several(one)


def test_stacks_of_grey_faces_are_several(tiny_model, astronaut):
    recognizer = Recognizer(tiny_model, "none", threads=1)
    grey = astronaut[60:180, 170:290, 0]
    stack = np.stack([grey, grey[:, ::-1]])
    expected = recognizer.classify([np.stack([one] * 3, axis=2) for one in stack])
    assert recognizer.classify(stack) == recognizer.classify(stack[..., None]) == expected
    assert [[face.prediction] for (face,) in recognizer.recognize_batch(stack)] == [[e] for e in expected]
    for image in (stack, list(stack), stack[..., None]):
        with pytest.raises((ImageError, TypeError), match="several images go to recognize_batch or classify"):
            recognizer.recognize(image)


def test_a_text_that_is_no_path_is_told_by_its_place(recognizer):
    with pytest.raises(ImageError, match=r"^images\[1\]: expected a path, found a text of 5,000 characters"):
        recognizer.recognize_batch([np.zeros((9, 9, 3), np.uint8), "a" * 5000])


def test_what_the_documentation_names_comes_from_the_package():
    assert crossfer.ImageError is ImageError
    assert crossfer.BundleError is BundleError
    assert {"Recognizer", "ImageError", "BundleError"} <= set(dir(crossfer))


@pytest.mark.parametrize("path", ["none.png", "./none.png", ".//none.png", "./empty.png"])
def test_an_image_that_has_a_path_is_told_by_it_and_not_by_its_place(recognizer, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.png").touch()
    with pytest.raises(ImageError, match=r"^[./]*(none|empty)\.png: "):
        recognizer.recognize_batch([path])

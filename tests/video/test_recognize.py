import math
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import crossfer
from crossfer import ImageError, Recognizer
from crossfer.runtime.align import crop_face
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.detection import Detection
from crossfer.types import Box
from crossfer.video import RecognizedFrame, VideoError, VideoRecognizer, VideoSource, recognize_video
from crossfer.video.frames import Frame
from crossfer.video.recognize import VideoSettings
from support.bundles import calibrated_bundle, calibration
from support.clips import Place, background, cut, frames_with, head, line, paste, write_clip

SIDE = 90


@pytest.fixture(scope="module")
def recognizer(tiny_model) -> Recognizer:
    return Recognizer(tiny_model, "none", threads=1)


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace(min_score=0.3, threads=1)


class Steady:
    """A detector that sees one face at one place."""

    def __init__(self) -> None:
        self.looks = 0

    def detect(self, image):
        self.looks += 1
        points = ((40, 40), (60, 40), (50, 52), (42, 64), (58, 64))
        return [Detection(Box(30.0, 20.0, 40.0, 52.0), 0.9, tuple((float(x), float(y)) for x, y in points))]


class Boxes(Steady):
    """One that sees the same face; it tells the landmarks every second time, or never."""

    def __init__(self, *, ever: bool) -> None:
        super().__init__()
        self.ever = ever

    def detect(self, image):
        (face,) = super().detect(image)
        return [face if self.ever and self.looks % 2 else Detection(face.box, face.score)]


def with_detector(recognizer: Recognizer, detector) -> Recognizer:
    """The same recogniser with another detector."""
    return Recognizer(
        recognizer.path or "default",
        detector,
        threads=1,
        coverage=recognizer.coverage,
        abstain=recognizer.abstain,
    )


def through(frames, recognizer, detector, times=None, **settings) -> list[RecognizedFrame]:
    """Pixels through a VideoRecognizer."""
    seeing = with_detector(recognizer, detector)
    working = VideoRecognizer(seeing, VideoSettings(**settings))
    times = [number / 25 for number in range(len(frames))] if times is None else times
    found = []
    for number, (pixels, time) in enumerate(zip(frames, times, strict=True)):
        found += working.push(Frame(number, time, pixels))
        assert len(working._waiting) <= working.settings.detect_every + 1
    return found + working.finish()


def distance(box: Box, place: Place) -> float:
    return float(np.hypot(box.center[0] - place.x, box.center[1] - place.y))


def test_a_face_that_enters_and_leaves_has_one_number_and_rows_only_while_it_is_there(
    astronaut, recognizer, detector
):
    path = [*[None] * 10, *line(Place(-40, 100), Place(360, 100), 50), *[None] * 10]
    frames = frames_with([head(astronaut, SIDE)], [[place] for place in path])
    found = through(frames, recognizer, detector)
    assert [one.index for one in found] == list(range(70))
    seen = [one.index for one in found if one.faces]
    assert seen == list(range(seen[0], seen[-1] + 1))
    assert 12 <= seen[0] <= 24
    assert 45 <= seen[-1] <= 57
    assert {face.track for one in found for face in one.faces} == {1}
    wholly = [one for one in found if one.faces and SIDE / 2 < path[one.index].x < 320 - SIDE / 2]
    assert len(wholly) > 20
    assert max(distance(one.faces[0].box, path[one.index]) for one in wholly) < 10


def test_two_people_who_cross_keep_their_numbers(astronaut, recognizer, detector):
    heads = [head(astronaut, SIDE), head(astronaut, SIDE, mirrored=True)]
    one, other = line(Place(60, 85), Place(260, 85), 60), line(Place(260, 110), Place(60, 110), 60)
    found = through(frames_with(heads, zip(one, other, strict=True)), recognizer, detector)
    first = found[0].faces
    assert len(first) == 2
    paths = {face.track: one if distance(face.box, one[0]) < 40 else other for face in first}
    assert {id(path) for path in paths.values()} == {id(one), id(other)}
    for frame in found:
        for face in frame.faces:
            assert distance(face.box, paths[face.track][frame.index]) < 25, frame.index
    assert len(found[-1].faces) == 2


def test_somebody_who_joins_gets_the_next_number(astronaut, recognizer, detector):
    heads = [head(astronaut, SIDE), head(astronaut, SIDE)]
    places = [[Place(70, 95), None]] * 10 + [[Place(70, 95), Place(240, 95)]] * 11
    found = through(frames_with(heads, places), recognizer, detector)
    assert [[face.track for face in one.faces] for one in found] == [[1]] * 12 + [[1, 2]] * 9


@pytest.mark.parametrize("first", [1, 2, 5, 8])
@pytest.mark.parametrize("every", [1, 3])
def test_after_a_cut_whoever_is_where_somebody_was_is_somebody_else(
    astronaut, recognizer, detector, first, every
):
    """Shot and counter-shot: no row mixes the two, in place, number or expression."""
    one = frames_with([head(astronaut, SIDE)], [[Place(150, 95)]] * first)
    wall = 255 - np.tile(background(160), (1, 2, 1))
    other = [wall.copy() for _ in range(7)]
    for frame in other:
        paste(frame, head(astronaut, SIDE, mirrored=True), Place(165, 100))
    found = through([*one, *other], recognizer, detector, detect_every=every)
    assert [one.index for one in found] == list(range(first + 7))
    assert [[face.track for face in one.faces] for one in found] == [[1]] * first + [[2]] * 7
    alone = through(other, recognizer, detector, detect_every=every)
    for after, plain in zip(found[first:], alone, strict=True):
        assert after.faces[0].box == plain.faces[0].box
        assert after.faces[0].smoothed.probabilities == pytest.approx(plain.faces[0].smoothed.probabilities)


@pytest.mark.parametrize("every", [2, 3, 5])
def test_between_looks_faces_are_where_a_look_would_find_them(astronaut, recognizer, detector, every):
    path = line(Place(60, 80), Place(170, 110), 21)
    frames = frames_with([head(astronaut, SIDE)], [[place] for place in path])
    exact = through(frames, recognizer, detector, detect_every=1)
    found = through(frames, recognizer, detector, detect_every=every)
    assert [face.detection_score is not None for one in found for face in one.faces] == [
        number % every == 0 or number == 20 for number in range(21)
    ]
    for one, other in zip(exact, found, strict=True):
        (true,), (guessed,) = one.faces, other.faces
        assert distance(guessed.box, Place(*true.box.center)) < 4
        assert np.abs(np.array(guessed.landmarks) - true.landmarks).max() < 6


@pytest.mark.parametrize("ever", [False, True])
def test_a_detector_that_knows_no_landmarks(recognizer, ever):
    frames = [background(120, 90)] * 9
    found = through(frames, recognizer, Boxes(ever=ever), detect_every=4)
    assert [len(frame.faces) for frame in found] == [1] * 9
    assert [bool(face.landmarks) for frame in found for face in frame.faces] == [ever, *[False] * 7, ever]
    square = Detection(Box(30.0, 20.0, 40.0, 52.0), 0.9)
    (alone,) = recognizer.classify([crop_face(frames[0], square, recognizer.meta.input.crop)])
    assert found[1].faces[0].raw == found[4].faces[0].raw == alone
    assert found[4].rows()[0]["landmarks"] == []


def test_the_expression_of_a_frame_is_that_of_the_photo(astronaut, tiny_model, recognizer, detector):
    frames = frames_with([head(astronaut, SIDE)], [[Place(150, 95)]] * 7)
    found = through(frames, recognizer, detector)
    (photo,) = Recognizer(tiny_model, threads=1).recognize(frames[0])
    (face,) = found[0].faces
    assert face.box == photo.box
    assert face.landmarks == photo.landmarks
    assert face.detection_score == photo.detection_score
    assert list(face.raw.probabilities.values()) == pytest.approx(
        list(photo.prediction.probabilities.values()), abs=1e-6
    )


def test_raw_and_smoothed_differ_by_the_smoothing_alone(astronaut, recognizer, detector):
    frames = frames_with([head(astronaut, SIDE)], [[p] for p in line(Place(60, 80), Place(250, 110), 20)])
    plain = through(frames, recognizer, detector, smoothing=0)
    soft = through(frames, recognizer, detector, smoothing=0.4)
    for one, other in zip(plain, soft, strict=True):
        assert one.faces[0].raw.probabilities == one.faces[0].smoothed.probabilities
        assert one.faces[0].raw.probabilities == other.faces[0].raw.probabilities
    raw = np.array([list(one.faces[0].raw.probabilities.values()) for one in soft])
    smooth = np.array([list(one.faces[0].smoothed.probabilities.values()) for one in soft])
    expected = [raw[0]]
    for values in raw[1:]:
        expected.append(expected[-1] + (1 - np.exp(-0.04 / 0.4)) * (values - expected[-1]))
    assert smooth == pytest.approx(np.array(expected), abs=1e-9)


def test_frame_times_that_vary_put_faces_in_between_by_time(astronaut, recognizer, detector):
    times = [0.0, 0.01, 0.02, 0.2, 0.21, 0.4, 0.6]
    path = [Place(60 + 250 * time, 95) for time in times]
    frames = frames_with([head(astronaut, SIDE)], [[place] for place in path])
    found = through(frames, recognizer, detector, times, detect_every=3)
    assert [one.time for one in found] == times
    assert max(distance(one.faces[0].box, place) for one, place in zip(found, path, strict=True)) < 12


def test_sets_and_abstention(tmp_path, astronaut, detector):
    frames = frames_with([head(astronaut, SIDE)], [[Place(150, 95)]] * 4)
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=0.999, set_threshold=0.0))
    found = through(frames, Recognizer(model, "none", coverage=0.9, abstain=True), detector)
    (face,) = found[1].faces
    assert face.raw.answer == face.smoothed.answer == "uncertain"
    assert len(face.raw.prediction_set or ()) == 8
    assert face.smoothed.prediction_set is None
    sure = calibrated_bundle(tmp_path / "s.onnx", calibration(threshold=0.0))
    found = through(frames, Recognizer(sure, "none", abstain=True), detector)
    assert found[1].faces[0].smoothed.answer == found[1].faces[0].expression


def first_of_each(times, every: float) -> list[int]:
    """Numbers of the frames that are the first at or after a multiple of so many seconds."""
    times = np.asarray(times)
    multiples = np.arange(0, times[-1] + 1e-6, every)
    return sorted(set(np.searchsorted(times, multiples - 1e-6).tolist()))


@pytest.mark.parametrize("every", [0.04, 0.1, 0.2, 1 / 3, 1, 7.5])
@pytest.mark.parametrize("rate", [0.7, 24000 / 1001, 25, 30000 / 1001, 60])
def test_one_frame_in_so_many_seconds_does_not_drift(every, rate):
    """Nor where some frames are missing."""
    times = np.delete(np.arange(int(600 * rate)) / rate, range(50, 55)).tolist()
    settings = VideoSettings(every=every)
    taken = [n for n, time in enumerate(times) if settings.takes(time, times[n - 1] if n else -1.0)]
    assert taken == first_of_each(times, every)


def test_times_of_single_precision_are_not_reckoned_with_in_it():
    settings, times = VideoSettings(every=0.1), [np.float32(number / 10) for number in range(100)]
    assert all(settings.takes(time, before) for before, time in pairwise(times))
    single, double = VideoSettings(every=np.float32(0.1)), VideoSettings(every=float(np.float32(0.1)))
    for before, time in pairwise(range(6000)):
        assert single.takes(time / 25, before / 25) == double.takes(time / 25, before / 25)


@pytest.mark.parametrize(("every", "looks"), [(0.04, 6), (0.2, 4), (0.35, 2)])
def test_frames_between_are_passed_over_and_the_others_recognised_as_ever(recognizer, every, looks):
    times, detector = [number / 25 for number in range(16)], Steady()
    frames = [background()] * 16
    found = through(frames, recognizer, detector, every=every)
    assert [one.index for one in found] == first_of_each(times, every)
    assert [one.time for one in found] == [times[one.index] for one in found]
    assert all([face.track for face in one.faces] == [1] for one in found)
    assert detector.looks == looks


def test_people_are_followed_where_frames_are_taken_rarely(tiny_model):
    seeing = Recognizer(tiny_model, Steady(), threads=1)
    working = VideoRecognizer(seeing, VideoSettings(every=10))
    found = [one for number in range(601) for one in working.push(Frame(number, number / 5, background()))]
    assert [(one.time, [face.track for face in one.faces]) for one in found] == [
        (10.0 * number, [1]) for number in range(12)
    ]


def test_a_file_is_read_as_frames_are_pushed(tmp_path, astronaut, recognizer, detector):
    path = line(Place(60, 80), Place(170, 110), 21)
    clip = write_clip(tmp_path / "a.mp4", frames_with([head(astronaut, SIDE)], [[place] for place in path]))
    seeing = with_detector(recognizer, detector)
    found = list(recognize_video(clip, seeing, every=0.2))
    assert [one.index for one in found] == [0, 5, 10, 15, 20]
    assert [[face.track for face in one.faces] for one in found] == [[1]] * 5
    with VideoSource(clip) as source:
        working = VideoRecognizer(seeing, VideoSettings(every=0.2))
        pushed = [one for frame in source.frames() for one in working.push(frame)] + working.finish()
    assert [one.rows() for one in pushed] == [one.rows() for one in found]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_every_frame_comes_back_however_many_there_are(recognizer, count):
    detector = Steady()
    found = through([background()] * count, recognizer, detector, detect_every=3)
    assert [one.index for one in found] == list(range(count))
    assert all([face.track for face in one.faces] == [1] for one in found)
    assert detector.looks == {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 7: 3}[count]


@pytest.mark.parametrize("detector", ["centerface", "none"])
def test_without_a_detector_object_it_is_centerface_as_the_recogniser_would_run_it(
    tiny_model, monkeypatch, detector
):
    asked = []
    monkeypatch.setattr("crossfer.runtime.recognizer.CenterFace", lambda **settings: asked.append(settings))
    side = 320 if detector == "centerface" else 640
    VideoRecognizer(Recognizer(tiny_model, detector, threads=1, detector_side=side), VideoSettings())
    assert asked == [{"min_score": 0.3, "long_side": side, "threads": 1}]


class Leaving(Steady):
    """Nobody is there any more from the third look on."""

    def detect(self, image):
        found = super().detect(image)
        return found if self.looks < 3 else []


def test_whoever_left_is_forgotten_after_a_while(tiny_model):
    seeing = Recognizer(tiny_model, Leaving())
    working = VideoRecognizer(seeing, VideoSettings(detect_every=1), rate=1.0)
    known = []
    for number in range(20):
        working.push(Frame(number, float(number), background()))
        known.append(list(working.state()["smoother"]))
    assert known[2] == ["1"]
    assert known[-1] == []


def test_at_few_frames_a_second_people_are_followed_from_look_to_look(tiny_model):
    seeing = Recognizer(tiny_model, Steady())
    working = VideoRecognizer(seeing, VideoSettings(detect_every=3), rate=1.0)
    found = [one for number in range(13) for one in working.push(Frame(number, float(number), background()))]
    assert [[face.track for face in one.faces] for one in found] == [[1]] * 12


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            (0, 0.5),
            "frame 0 at 0.5 s: expected a higher number and a later time than those of frame 7 at 0.28 s",
        ),
        ((7, 0.5), "frame 7 at 0.5 s: expected a higher number"),
        ((8, 0.28), "frame 8 at 0.28 s: expected a higher number and a later time .*; take a new VideoRec"),
        ((8, 0.1), "frame 8 at 0.1 s: expected a higher number"),
        ((8, math.nan), "frame 8 at nan s: expected a finite time; give the seconds from the start"),
        ((8, math.inf), "frame 8 at inf s: expected a finite time"),
    ],
)
def test_a_frame_that_does_not_go_on_is_refused_and_changes_nothing(recognizer, second, message):
    working = VideoRecognizer(with_detector(recognizer, Steady()))
    assert working.push(Frame(7, 0.28, background())) == []
    with pytest.raises(ValueError, match=message):
        working.push(Frame(*second, background()))
    assert working.push(Frame(8, 0.32, background())) == []
    assert [(one.index, one.time) for one in working.finish()] == [(7, 0.28), (8, 0.32)]


@pytest.mark.parametrize(
    ("frame", "kind", "message"),
    [
        (
            background(),
            TypeError,
            r"expected a frame, got ndarray; give crossfer.video.Frame\(index, time, pix",
        ),
        (Frame(1, 0.04, None), TypeError, "frame 1: expected uint8 RGB pixels .* got NoneType; OpenCV gives"),
        (Frame(1, 0.04, "a.png"), TypeError, "frame 1: expected uint8 RGB .*, got str; give a NumPy array"),
        (Frame(None, 0.04, background()), TypeError, "whole number for a frame's index, got None; number"),
        (Frame("1", 0.04, background()), TypeError, "expected a whole number .* got '1'"),
        (Frame(1, None, background()), TypeError, "frame 1: expected a time .* got None; give the seconds"),
        (Frame(1, "1", background()), TypeError, "frame 1: expected a time as a number .* got '1'"),
        (Frame(1, Fraction(1, 25), background()), TypeError, r"got Fraction\(1, 25\)"),
        (Frame(1, 0.04, background() / 255), ImageError, "expected uint8 .*float64"),
        (Frame(1, 0.04, background().transpose(2, 0, 1)), ImageError, r"expected uint8 .*\(3, 192, 320\)"),
        (Frame(1, 0.04, background()[:0]), ImageError, "expected at least one pixel, found 320 x 0"),
    ],
)
def test_what_is_no_frame_is_one_sentence_and_changes_nothing(recognizer, frame, kind, message):
    working = VideoRecognizer(with_detector(recognizer, Steady()))
    working.push(Frame(0, 0.0, background()))
    with pytest.raises(kind, match=message):
        working.push(frame)
    working.push(Frame(1, 0.04, background()[:, :, ::-1]))
    assert [len(one.faces) for one in working.finish()] == [1, 1]


def test_after_the_end_there_are_no_more_frames(recognizer):
    working = VideoRecognizer(with_detector(recognizer, Steady()))
    working.push(Frame(0, 0.0, background()))
    assert len(working.finish()) == 1
    assert working.finish() == []
    with pytest.raises(ValueError, match=r"no frame after finish\(\); take a new VideoRecognizer"):
        working.push(Frame(1, 0.04, background()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detect_every": 0}, "detect_every: expected a whole number, 1 to 30 frames, got 0"),
        ({"detect_every": 31}, "detect_every: expected a whole number, 1 to 30 frames, got 31"),
        ({"detect_every": 2.5}, "detect_every: expected a whole number, 1 to 30 frames, got 2.5"),
        ({"detect_every": "3"}, "detect_every: expected a whole number, 1 to 30 frames, got '3'"),
        ({"min_face_score": 1.0}, "min_face_score: expected a number between 0 and 1, got 1.0"),
        ({"min_face_score": None}, "min_face_score: expected a number between 0 and 1, got None"),
        ({"every": -1.0}, "every: expected 0, or 0.001 to 3600 seconds, got -1.0"),
        ({"every": 0.0001}, "every: expected 0, or 0.001 to 3600 seconds, got 0.0001"),
        ({"every": math.nan}, "every: expected 0, or 0.001 to 3600 seconds, got nan"),
        ({"every": np.complex64(1)}, r"every: expected 0, or 0.001 to 3600 seconds, got np.complex64\("),
        ({"every": np.array([1, 2])}, r"every: expected 0, or .* got array\(\[1, 2\]\)"),
        ({"smoothing": np.complex64(1)}, "smoothing: expected a time constant of 0 or more"),
        ({"every": "1"}, "every: expected 0, or 0.001 to 3600 seconds, got '1'"),
        ({"smoothing": -1.0}, "smoothing"),
        ({"smoothing": "1"}, "smoothing: expected a time constant of 0 or more seconds, got '1'"),
        ({"smoothing": math.inf}, "smoothing: expected a time constant of 0 or more seconds, got inf"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        VideoSettings(**settings)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("tiny",), TypeError, r"recognizer: expected a Recognizer, got 'tiny'; give Recognizer\('tiny'\)"),
        ((None,), TypeError, r"recognizer: expected a Recognizer, got NoneType; give Recognizer\(\)"),
        (
            ("own", {"smoothing": 0}),
            TypeError,
            "settings: expected VideoSettings, got dict; give VideoSettings",
        ),
        (("own", None, 0.0), ValueError, "rate: expected frames per second, a number above 0, got 0.0"),
        (("own", None, math.nan), ValueError, "rate: expected .* got nan"),
        (("own", None, "25"), ValueError, "rate: expected .* got '25'"),
    ],
)
def test_what_a_video_cannot_be_gone_through_with_is_one_sentence(recognizer, arguments, kind, message):
    own, settings, rate = (*arguments, *(None, 25.0)[len(arguments) - 1 :])
    with pytest.raises(kind, match=message):
        VideoRecognizer(recognizer if own == "own" else own, settings, rate=rate)


def test_the_name_of_a_model_is_no_recognizer(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [background()])
    for wrong in ("tiny", ""):
        with pytest.raises(TypeError, match="recognizer: expected a Recognizer, got"):
            next(recognize_video(path, wrong))  # pyright: ignore[reportArgumentType]


def test_a_file_by_its_name_and_its_picture_in_every_frame(tmp_path, astronaut, recognizer, detector):
    frames = frames_with([head(astronaut, SIDE)], [[Place(150, 95)]] * 8)
    path = write_clip(tmp_path / "a.mp4", frames)
    found = list(crossfer.video.recognize_video(path, with_detector(recognizer, detector)))
    assert [(one.index, round(one.time, 6)) for one in found] == [(n, n / 25) for n in range(8)]
    assert all(np.abs(one.pixels.astype(int) - frames[one.index]).mean() < 4 for one in found)
    assert [face.expression in face.smoothed.probabilities for one in found for face in one.faces] == [
        True
    ] * 8


def test_a_clip_without_faces_gives_its_frames(tmp_path, recognizer, detector):
    path = write_clip(tmp_path / "a.mp4", [background()] * 7)
    assert [one.faces for one in recognize_video(path, with_detector(recognizer, detector))] == [()] * 7


def test_of_a_file_that_is_cut_off_everything_that_is_there_comes_first(tmp_path, recognizer):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(60)]
    whole = write_clip(tmp_path / "a.mp4", noise, container_options={"movflags": "faststart"})
    seen: list[int] = []
    found = recognize_video(cut(whole, tmp_path / "b.mp4", 0.5), with_detector(recognizer, Steady()))
    with pytest.raises(VideoError, match="cut off"):
        seen.extend(one.index for one in found)
    assert seen == list(range(len(seen)))
    assert 15 < len(seen) < 45


def memory() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(path: Path, recognizer, warm: int) -> float:
    """MB by which memory has grown from frame ``warm`` to the end."""
    start = 0.0
    for one in recognize_video(path, with_detector(recognizer, Steady()), detect_every=5):
        if one.index == warm:
            start = memory()
    return memory() - start


def test_memory_stays_constant(tmp_path, recognizer):
    long = write_clip(tmp_path / "long.mp4", [background()] * 1200)
    assert growth(long, recognizer, 300) < 10


@pytest.mark.long
def test_memory_stays_constant_over_an_hour(tmp_path, recognizer):
    path = tmp_path / "hour.mp4"
    frame = background()
    write_clip(path, (frame for _ in range(90_000)), [number / 25 for number in range(90_000)])
    assert growth(path, recognizer, 1000) < 20


@pytest.fixture
def real_video() -> Path:
    root = os.environ.get("CROSSFER_TEST_DATA")
    path = Path(root or "") / "media" / "WolfgangLanger_Pexels.mp4"
    if not root or not path.is_file():
        pytest.skip("CROSSFER_TEST_DATA does not name a folder with media/WolfgangLanger_Pexels.mp4")
    return path


def followed(path: Path, recognizer, seconds: float) -> list[RecognizedFrame]:
    found = []
    for one in recognize_video(path, recognizer):
        if one.time >= seconds:
            break
        found.append(one)
    return found


def test_on_a_real_video_one_person_is_followed(real_video, recognizer):
    found = followed(real_video, recognizer, 1.5)
    assert len(found) == 36
    assert {tuple(face.track for face in one.faces) for one in found} == {(1,)}


@pytest.mark.long
def test_on_the_whole_real_video_one_person_is_followed(real_video, recognizer):
    found = followed(real_video, recognizer, 1000.0)
    assert len(found) == 472
    assert {tuple(face.track for face in one.faces) for one in found} == {(1,)}

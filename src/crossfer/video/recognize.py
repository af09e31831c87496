"""From frames to people with expressions: look, track, fill in between, classify, smooth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.defaults import (
    DETECT_EVERY,
    LEAST_SECONDS,
    MIN_FACE_SCORE,
    MOST_EVERY,
    MOST_SECONDS,
    SMOOTHING,
)
from crossfer.images.read import load_image
from crossfer.runtime.align import crop_face
from crossfer.runtime.detection import Detection, detect
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Prediction
from crossfer.video.between import faces_at, faces_of
from crossfer.video.frames import NUMBER, Frame, RecognizedFrame, TrackedFace
from crossfer.video.live import LiveFrames
from crossfer.video.shots import Shots
from crossfer.video.smooth import Smoother
from crossfer.video.source import VideoError, VideoSource, Wanted, every_frame
from crossfer.video.tracks import Look, Tracks

# A face that is followed already may turn away or blur: it is carried on by detections down to this share of
# the score that a new one needs.
FAINT = 0.6
_ROUNDING = 1e-6  # seconds: times are rounded fractions


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """How a video is gone through.

    Attributes:
        detect_every: the detector looks at every so many frames, and at the last; 1 to ``MOST_EVERY``. Frames
            that ``every`` passes over count.
        smoothing: time constant in seconds of the smoothed expressions; 0 for none.
        min_face_score: faces that the detector is less sure of (0..1) start no track.
        every: recognise the first frame, and then the first one at or after each multiple of so many seconds
            (0.001 to 3600); 0 for all frames.
    """

    detect_every: int = DETECT_EVERY
    smoothing: float = SMOOTHING
    min_face_score: float = MIN_FACE_SCORE
    every: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.detect_every, int | np.integer) and 1 <= self.detect_every <= MOST_EVERY):
            raise ValueError(
                f"detect_every: expected a whole number, 1 to {MOST_EVERY} frames, got {self.detect_every!r}"
            )
        Smoother(self.smoothing)  # refuses what it cannot go by
        if not (isinstance(self.min_face_score, NUMBER) and 0 < self.min_face_score < 1):
            raise ValueError(
                f"min_face_score: expected a number between 0 and 1, got {self.min_face_score!r}"
            )
        every = self.every if isinstance(self.every, NUMBER) else math.nan
        if not (every == 0 or LEAST_SECONDS <= every <= MOST_SECONDS):
            bounds = f"{LEAST_SECONDS} to {MOST_SECONDS}"
            raise ValueError(f"every: expected 0, or {bounds} seconds, got {self.every!r}")

    def takes(self, time: float, before: float) -> bool:
        """Whether a frame is recognised, by its time and that of the frame before, in seconds.

        Multiples count from time 0, and not from the last frame taken, so that nothing drifts.
        """
        if not self.every:
            return True
        every = float(self.every)  # single precision, as NumPy's float32, would miss frames
        return (float(time) + _ROUNDING) // every > (float(before) + _ROUNDING) // every

    def looks_a_second(self, rate: float) -> float:
        """How often the detector looks at a video of so many frames a second, roughly."""
        looks = rate / self.detect_every
        return min(looks, 1 / self.every) if self.every else looks


class VideoRecognizer:
    """Takes the frames of one video one by one, and gives them back with the people in them.

    A frame comes back when the detector has looked at a later one, at most ``detect_every`` frames on (with
    ``every``, at the next frame that is taken where that is later):
    between two looks, faces are where a straight motion puts them. So no more than ``detect_every`` + 1
    frames are held, each with the array that it was given: do not write into that before it is back.

    Args:
        recognizer: recognises the expressions and finds the faces, with its own detector or CenterFace.
        settings: how to go through the video; its ``min_face_score`` holds, not that of the recogniser.
        rate: frames per second, roughly.
        on_look: called with each look of the detector.

    Raises:
        TypeError: if the recogniser or the settings are something else.
        ValueError: if the rate is not above 0.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        settings: VideoSettings | None = None,
        *,
        rate: float = 25.0,
        on_look: Callable[[Look], None] | None = None,
    ) -> None:
        _check(recognizer, settings, rate)
        self.settings = settings or VideoSettings()
        self._recognizer = recognizer
        self._detector = recognizer.detector_for(FAINT * self.settings.min_face_score)
        self._tracks = Tracks(self.settings.min_face_score, self.settings.looks_a_second(rate))
        self._shots = Shots()
        self._shots_then = self._shots.to_dict()  # as of the first frame that waits
        self._smoother = Smoother(self.settings.smoothing)
        self._on_look = on_look or (lambda look: None)
        self._waiting: list[Frame] = []
        self._pushed: tuple[int, float] | None = None  # number and time of the last frame
        self._finished = False
        # The promise of a prediction set holds for single images only.
        self._decision = dataclasses.replace(recognizer.decision, set_threshold=None)

    @property
    def next_index(self) -> int:
        """Number of the first frame that has not come back yet."""
        return self._waiting[0].index if self._waiting else 0

    def push(self, frame: Frame) -> list[RecognizedFrame]:
        """Takes the next frame; gives back those that are ready, in order, often none.

        Frames that the settings' ``every`` passes over do not come back.

        Args:
            frame: with a higher number and a later time than the one before; frames may be missing.

        Raises:
            TypeError: if it is no ``Frame``, or its number, time or pixels are of another type.
            ImageError: if its pixels cannot be used as an image; see ``Recognizer.recognize``.
            ValueError: if it is not later than the one before, its time is not finite, or ``finish`` was
                called.
        """
        frame = _checked(frame)
        if self._finished:
            raise ValueError("expected no frame after finish(); take a new VideoRecognizer for another video")
        earlier, self._pushed = self._pushed, _going_on(frame, self._pushed)
        if earlier is not None and not self.settings.takes(frame.time, earlier[1]):
            return []
        before = self._tracks.last
        # The first frame after an interruption was looked at before it.
        begins = (before is None or frame.index > before.index) and self._shots.begins(frame.pixels)
        done: list[RecognizedFrame] = []
        if before is None or begins:
            done = self._end_shot()
            self._waiting = [frame]
            self._look(frame, begins=begins)
        else:
            self._waiting.append(frame)
            if frame.index - before.index >= self.settings.detect_every:
                done = self._ready(before, self._look(frame))
        if len(self._waiting) == 1:
            self._shots_then = self._shots.to_dict()
        return done

    def finish(self) -> list[RecognizedFrame]:
        """After the last frame: those that are still held. No frame can be pushed any more."""
        if self._finished:
            return []
        self._finished = True
        return self._end_shot()

    def _end_shot(self) -> list[RecognizedFrame]:
        last = self._tracks.last
        if last is None:
            return []
        done: list[RecognizedFrame] = []
        if len(self._waiting) > 1:
            before, last = last, self._look(self._waiting[-1])
            self._tracks.close()
            done = self._ready(before, last)
        self._tracks.close()
        return done + self._recognized(self._waiting, [faces_of(last)])

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs besides the looks, as plain values for JSON."""
        return {
            "next": self.next_index,
            "smoother": self._smoother.to_dict(),
            "shots": self._shots_then,
        }

    def restore(
        self, state: dict[str, Any], looks: Iterator[tuple[int, float, tuple[Detection, ...], bool]]
    ) -> None:
        """Goes on where ``state`` was taken: the next frame to push is that of number ``state["next"]``.

        Args:
            state: as ``state`` gave it.
            looks: every look up to then, as ``Tracks.look`` takes it.
        """
        for look in looks:
            self._tracks.look(*look)
        self._shots.restore(state["shots"])
        self._shots_then = state["shots"]
        self._smoother.restore(state["smoother"])

    def _look(self, frame: Frame, *, begins: bool = False) -> Look:
        found = detect(self._detector, frame.pixels)
        look = self._tracks.look(frame.index, frame.time, found, begins)
        self._on_look(look)
        return look

    def _ready(self, before: Look, after: Look) -> list[RecognizedFrame]:
        """The frames up to the last look, whose own is held back for the next stretch."""
        *frames, last = self._waiting
        self._waiting = [last]
        places = [faces_at(before, after, frame.time) for frame in frames[1:]]
        done = self._recognized(frames, [faces_of(before), *places])
        self._smoother.forget(last.time)
        return done

    def _recognized(
        self, frames: Sequence[Frame], places: Sequence[list[tuple[int, Detection]]]
    ) -> list[RecognizedFrame]:
        """Frames with the expressions at the given places; the detector looked at the first of them."""
        geometry = self._recognizer.meta.input.crop
        crops = [
            crop_face(frame.pixels, face, geometry)
            for frame, faces in zip(frames, places, strict=True)
            for _, face in faces
        ]
        predictions = iter(self._recognizer.classify(crops))
        return [
            RecognizedFrame(
                frame,
                tuple(
                    self._face(track, frame.time, place, next(predictions), seen=number == 0)
                    for track, place in faces
                ),
            )
            for number, (frame, faces) in enumerate(zip(frames, places, strict=True))
        ]

    def _face(self, track: int, time: float, place: Detection, raw: Prediction, *, seen: bool) -> TrackedFace:
        probabilities = self._smoother.smooth(track, time, np.array(list(raw.probabilities.values())))
        by_name = dict(zip(raw.probabilities, probabilities.tolist(), strict=True))
        smoothed = self._decision(dataclasses.replace(raw, probabilities=by_name))
        score = place.score if seen else None
        return TrackedFace(track, place.box, place.landmarks, score, raw, smoothed)


def _check(recognizer: Any, settings: Any, rate: Any) -> None:
    if not isinstance(recognizer, Recognizer):
        name = repr(recognizer) if isinstance(recognizer, str) else ""
        found = name or type(recognizer).__name__
        raise TypeError(f"recognizer: expected a Recognizer, got {found}; give Recognizer({name})")
    if not isinstance(settings, VideoSettings | None):
        found = type(settings).__name__
        raise TypeError(f"settings: expected VideoSettings, got {found}; give VideoSettings(detect_every=1)")
    if not (isinstance(rate, NUMBER) and math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate: expected frames per second, a number above 0, got {rate!r}")


def _checked(frame: Frame) -> Frame:
    """A frame whose number and time are numbers, and whose pixels are uint8 RGB of shape (H, W, 3)."""
    if not isinstance(frame, Frame):
        raise TypeError(
            f"expected a frame, got {type(frame).__name__}; give crossfer.video.Frame(index, time, pixels)"
        )
    if not isinstance(frame.index, int | np.integer):
        raise TypeError(
            f"expected a whole number for a frame's index, got {frame.index!r}; number the frames from 0"
        )
    if not isinstance(frame.time, NUMBER):
        raise TypeError(
            f"frame {frame.index}: expected a time as a number of seconds, got {frame.time!r}; "
            "give the seconds from the start of the video"
        )
    if not isinstance(frame.pixels, np.ndarray):
        way = "give a NumPy array"
        if frame.pixels is None:
            way = "OpenCV gives None where a video ends or a camera is lost"
        raise TypeError(
            f"frame {frame.index}: expected uint8 RGB pixels of shape (H, W, 3), got "
            f"{type(frame.pixels).__name__}; {way}"
        )
    pixels = load_image(frame.pixels)
    return frame if pixels is frame.pixels else dataclasses.replace(frame, pixels=pixels)


def _going_on(frame: Frame, before: tuple[int, float] | None) -> tuple[int, float]:
    """Number and time of a frame, if it goes on from the one before."""
    name = f"frame {frame.index} at {round(frame.time, 6)} s"
    if not math.isfinite(frame.time):
        raise ValueError(f"{name}: expected a finite time; give the seconds from the start of the video")
    if before is not None and not (frame.index > before[0] and frame.time > before[1]):
        raise ValueError(
            f"{name}: expected a higher number and a later time than those of frame {before[0]} at "
            f"{round(before[1], 6)} s; take a new VideoRecognizer for another video"
        )
    return frame.index, frame.time


def recognize_video(
    source: str | Path | int,
    recognizer: Recognizer | None = None,
    *,
    detect_every: int = DETECT_EVERY,
    smoothing: float = SMOOTHING,
    min_face_score: float = MIN_FACE_SCORE,
    every: float = 0.0,
) -> Iterator[RecognizedFrame]:
    """The frames of a video, in order, each with the people in it; memory stays constant.

    Frames that a live source delivers while there is no time for them are passed over, which their numbers
    show.

    Example::

        import crossfer.video

        for frame in crossfer.video.recognize_video("talk.mp4"):
            for face in frame.faces:
                print(f"{frame.time:.2f} s: person {face.track} {face.expression} {face.confidence:.0%}")

    Args:
        source: the path of a file, the number of a camera, or the address of a stream (rtsp, http).
        recognizer: recognises the expressions and finds the faces, with its own detector or CenterFace; with
            the embedded model if None.
        detect_every: the detector looks at every so many frames (1 to 30); between, faces move straight.
        smoothing: time constant in seconds of the smoothed expressions; 0 for none.
        min_face_score: faces that the detector is less sure of (0..1) start no track.
        every: recognise the first frame, and then the first one at or after each multiple of so many seconds
            (0.001 to 3600), and give no others; 0 for all frames.

    Raises:
        VideoError: if the source cannot be used. If it turns out to be damaged or cut off, every frame that
            is there comes first.
        TypeError: if the source or the recogniser is something else.
        ValueError: if a setting is of another type or out of its range.
    """
    settings = VideoSettings(detect_every, smoothing, min_face_score, every)
    with VideoSource(source) as opened:
        working = VideoRecognizer(
            Recognizer() if recognizer is None else recognizer, settings, rate=float(opened.rate)
        )
        with closing(read_frames(opened, wanted=settings.takes)) as frames:
            for frame in frames:
                yield from working.push(frame)
        yield from working.finish()
        if opened.problem is not None:
            raise VideoError(opened.problem)


def read_frames(
    source: VideoSource,
    first: int = 0,
    passed: Callable[[], object] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
    wanted: Wanted = every_frame,
) -> Generator[Frame]:
    """The frames of a source; of a live one those for which there is time.

    Args:
        source: a file, or what can be read like one, from frame ``first`` on; or a live source.
        first: number of the first frame wanted, of a file; see ``VideoSource.frames``.
        passed: called for each frame of a file that is passed over; see ``VideoSource.frames``.
        stopped: see ``LiveFrames``; files are read to their end.
        wanted: see ``VideoSource.frames``.
    """
    if not source.live:
        yield from source.frames(first, passed, wanted)
        return
    live = LiveFrames(source, stopped, wanted)
    try:
        yield from live
    finally:
        live.close()

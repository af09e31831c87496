"""Where frames come from: files, cameras and network streams, read by PyAV (FFmpeg)."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from crossfer.printable import without_password
from crossfer.video.frames import Frame

MAX_PIXELS = 8192 * 4320
SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
# What FFmpeg may open on behalf of an input: a file must not make it fetch something from the network.
_FILE_PROTOCOLS = "file"
_STREAM_PROTOCOLS = "rtsp,rtsps,rtp,rtmp,udp,tcp,tls,srtp,http,https,httpproxy,crypto"
_TIMEOUT = (10.0, 10.0)  # seconds to open a stream, and to wait for its next part
_USUAL_RATE = Fraction(25)
_FINE = Fraction(1, 90_000)
_SHORT = 0.5  # seconds that a file may lack before it is called cut off
_RESTART = 1.0  # seconds that time may run back before its counter is taken to have begun anew
_PICTURES = ("image2", "_pipe")
_MAYBE_PICTURES = frozenset({"gif", "avif", "mif1", "heic"})  # a format, and brands of MP4: if of one frame
_TEXT = frozenset({"adf", "bin", "idf", "tty", "xbin"})  # which FFmpeg draws, as on a terminal

Wanted = Callable[[float, float], bool]  # by the time of a frame, and that of the one before


class VideoError(ValueError):
    """A video that cannot be used, or not to its end; the message says what was found and what to do."""


def every_frame(time: float, before: float) -> bool:
    """Wanted are all."""
    return True


class VideoSource:
    """The frames of a video, one after the other; only one of them is in memory.

    Rotation and mirroring in the file's metadata are applied, pixels that are not square are made so, and
    every frame is brought to the size of the first. Damaged frames are left out. Iterate once; after that
    ``problem`` says whether everything was there.

    Args:
        source: the path of a file; the number of a camera (Linux: 0 is ``/dev/video0``), as int or in digits;
            or an address that begins with rtsp, rtsps, rtmp, http or https.

    Attributes:
        name: the source as errors call it.
        live: whether it plays at its own pace and has no known end: a camera or stream.
        rate: frames per second as the source states them; 25 where it does not. May vary in fact.
        duration: length in seconds as the source states it; None if it does not.
        longest: seconds within which all ends, sound that outlasts the pictures too, as the source states it;
            infinite if it does not.
        time_base: the unit of the time stamps in seconds.
        has_audio: whether there is sound as well.
        damaged: how many parts could not be decoded so far.
        dropped: how many frames of a live source were passed over so far, for want of time.
        problem: after the last frame: what was wrong with the source, or None.
        stopped: of a file: up to how many seconds it could be read, if the system then failed to read on,
            which may pass; else None. Set before the last frames come.
        end: when the last frame read so far ends, in seconds.
        in_use: whether a thread that cannot be interrupted waits for the source, so that ``close`` must let
            it be; it is let go of with that thread.

    Raises:
        VideoError: if the source cannot be opened, or holds no video.
        TypeError: if it is something else, as the content of a file.
    """

    def __init__(self, source: str | Path | int) -> None:
        given = _input(source)
        self.name, self.file = given.name, given.file
        self._container = _open(given)
        try:
            self._stream, self._decoder = self._video_stream()
        except VideoError:
            self._container.close()
            raise
        stream = self._stream
        stream.thread_type = "AUTO"
        self.rate: Fraction = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        # Network cameras send pictures one by one, without times; FFmpeg numbers them at 25 a second.
        self._untimed = self.file is None and self._container.format.name == "mpjpeg"
        self.time_base: Fraction = _FINE if self._untimed else stream.time_base or _FINE
        self.duration: float | None = self._stated_duration()
        whole = self._container.duration
        self.longest: float = whole / av.time_base if whole else math.inf
        self.live: bool = self.file is None and self.duration is None
        self.has_audio: bool = bool(self._container.streams.audio)
        self.damaged = self.dropped = 0
        self.end = 0.0
        self.problem: str | None = None
        self.stopped: float | None = None
        self.in_use = False
        self._heard = 0.0  # when the sound read so far ends, where that matters
        self._size: tuple[int, int] | None = None
        self._stored: dict[int, tuple[bool, bool, bool]] = {}
        self._start = self._container.start_time if self.file else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file, camera or connection."""
        if not self.in_use:  # FFmpeg would read what was freed
            self._container.close()

    def frames(
        self,
        first: int = 0,
        passed: Callable[[], object] = lambda: None,
        wanted: Wanted = every_frame,
    ) -> Iterator[Frame]:
        """The frames that are wanted, from number ``first`` on; the others are decoded and passed over.

        Args:
            first: number of the first frame.
            passed: called for each frame that is passed over.
            wanted: whether to give a frame, by its time and that of the one before, in seconds; before the
                first it is -1.

        Raises:
            VideoError: if there is no frame at all, or one is larger than ``MAX_PIXELS``.
        """
        last, count = -1.0, 0
        for count, decoded in enumerate(self._decoded(), start=1):
            before, last = last, self._time(decoded, last)
            self.end = last + self._length(decoded)
            if count > first and wanted(last, before):
                yield Frame(count - 1, last, self._pixels(decoded))
            else:
                if count == 1:
                    self._pixels(decoded)  # the others are brought to its size
                passed()
        if count == 0:
            raise VideoError(
                self.problem or f"{self.name}: expected a video, found no frame in it; obtain it again"
            )
        self.problem = self.problem or self._missing()

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = packets_of(self._container, self._stream, *self._sound_to_end_with())
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError as error:  # a file's end is missing, a connection was lost
                yield from self._held(error)
                return
            if packet.stream.index != self._stream.index:
                self._heard = max(self._heard, self._packet_end(packet))
                continue
            try:
                yield from packet.decode()
            except FFmpegError:
                self.damaged += 1

    def _held(self, error: FFmpegError) -> Iterator[av.VideoFrame]:
        """What the decoder still holds where reading stops; ``problem`` says why, and up to where."""
        if self.file is not None and isinstance(error, OSError):
            self.stopped = self.end
        with suppress(FFmpegError):
            for decoded in self._decoder.decode(None):
                self.problem = self._stop(error)
                yield decoded
        self.problem = self._stop(error)

    def _stop(self, error: FFmpegError) -> str:
        return f"{self.name}: reading stopped after {self.end:.2f} s ({_reason(error)})"

    def _time(self, decoded: av.VideoFrame, last: float) -> float:
        """Seconds from the start, later than ``last``: stamps may be missing, come twice, or begin anew."""
        usual = 1 / float(self.rate)
        if self._untimed:
            stamp = monotonic()
        elif decoded.pts is None:
            return last + usual if last >= 0 else 0.0
        else:
            stamp = float(decoded.pts * (decoded.time_base or self.time_base))
        if self._start is None:
            self._start = round(stamp * av.time_base)
        time = max(0.0, stamp - self._start / av.time_base)
        if last - time > _RESTART:
            self._start -= round((last + usual - time) * av.time_base)
            return last + usual
        return time if time > last else last + usual / 1000

    def _length(self, decoded: av.VideoFrame) -> float:
        if decoded.duration and decoded.time_base:
            return float(decoded.duration * decoded.time_base)
        return 1 / float(self.rate)

    def _pixels(self, decoded: av.VideoFrame) -> np.ndarray:
        """Upright RGB with square pixels in the size of the first frame."""
        width, height = decoded.width, decoded.height
        aspect = self._stream.sample_aspect_ratio
        if aspect and aspect > 0:
            width = min(max(1, round(width * aspect)), 4 * width)
        _check_size(self.name, width, height)
        # By FFmpeg's angle: PyAV frees a frame late whose side data was looked at, so few frames are asked.
        if decoded.rotation not in self._stored:
            self._stored[decoded.rotation] = _stored_how(decoded)
        swapped, mirrored, upside_down = self._stored[decoded.rotation]
        if self._size is None:
            self._size = (height, width) if swapped else (width, height)
        width, height = self._size[::-1] if swapped else self._size
        pixels = decoded.to_ndarray(format="rgb24", width=width, height=height)
        if swapped:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1])

    def _video_stream(self) -> tuple[av.VideoStream, av.VideoCodecContext]:
        form = self._container.format.name
        if _is_picture(self._container):
            raise VideoError(f"{self.name}: expected a video, found a picture; use: crossfer predict")
        if form in _TEXT:
            raise VideoError(
                f"{self.name}: expected a video, found text, or what FFmpeg takes for text; check the path"
            )
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic  # the cover of a piece of music
        ]
        if not streams:
            found = "only sound" if self._container.streams.audio else "a file without pictures"
            raise VideoError(f"{self.name}: expected a video, found {found}; check the path")
        context = streams[0].codec_context
        if context is None:
            raise VideoError(
                f"{self.name}: expected a video, found pictures that FFmpeg cannot decode; convert it"
            )
        _check_size(self.name, context.width, context.height)
        return streams[0], context

    def _stated_duration(self) -> float | None:
        """The length of the pictures if stated; else that of the whole, where sound may be longer."""
        stream, whole = self._stream, self._container.duration
        if self._container.format.name == "avi" and stream.frames:
            return float(stream.frames * self.time_base)  # FFmpeg states less where the file is cut off
        if stream.duration:
            return float(stream.duration * self.time_base)
        length = self._tagged_duration() or (whole / av.time_base if whole else None)
        start = (self._container.start_time or 0) / av.time_base
        if length is None or self._container.format.name != "matroska,webm" or not 0 < start < length:
            return length
        return length - start  # what Matroska states is the time of the end

    def _sound_to_end_with(self) -> Sequence[Stream]:
        """The streams of sound, where the stated length may be theirs: a file is whole if they reach it."""
        own = self._stream.duration or self._tagged_duration()
        return () if own or self.file is None else self._container.streams.audio

    def _packet_end(self, packet: av.Packet) -> float:
        if packet.pts is None or packet.time_base is None:
            return 0.0
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        return float(end) - (self._start or 0) / av.time_base

    def _tagged_duration(self) -> float | None:
        tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", self._stream.metadata.get("DURATION", ""))
        if tag is None:
            return None
        hours, minutes, seconds = map(float, tag.groups())
        return hours * 3600 + minutes * 60 + seconds

    def _missing(self) -> str | None:
        """What to say if a file holds less than it states, or damage."""
        lacks = (self.duration or 0.0) - max(self.end, self._heard)
        if self.file is not None and lacks > max(_SHORT, 3 / float(self.rate)):
            return (
                f"{self.name}: the file is cut off or damaged: read up to {self.end:.2f} s of "
                f"{self.duration:.2f} s; what is there was processed"
            )
        if self.damaged:
            parts = "1 part" if self.damaged == 1 else f"{self.damaged} parts"
            return f"{self.name}: {parts} could not be decoded and were left out; the rest was processed"
        return None


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[av.Packet]:
    """The packets of some streams.

    A stream that turns up after a file was opened, as in a broadcast, ends PyAV's loop with an IndexError;
    here its packets are passed over.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except IndexError:
            packets = container.demux(*streams)
        else:
            yield packet


@dataclass(frozen=True)
class _Input:
    """What FFmpeg opens, and how.

    Attributes:
        name: as errors call it.
        address: as FFmpeg takes it.
        options: of the format.
        format: its name; None to have it found out.
        file: the path of a file; None for a camera or stream.
    """

    name: str
    address: str
    options: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    file: Path | None = None


def _input(source: str | Path | int) -> _Input:
    if isinstance(source, bool) or not isinstance(source, str | os.PathLike | int | np.integer):
        raise TypeError(
            f"expected a path, a camera's number or the address of a stream, got {type(source).__name__}; "
            "for frames of your own there is VideoRecognizer"
        )
    text = os.fsdecode(source) if isinstance(source, str | os.PathLike) else str(source)
    if not text:
        raise VideoError("expected a video, found an empty name, as of a variable that is not set; set it")
    scheme = re.match(r"([a-zA-Z][\w+.-]*)://", text)
    if scheme and not os.path.exists(text):
        if scheme[1].lower() not in SCHEMES:
            name = without_password(text)
            raise VideoError(f"{name}: expected an address with {', '.join(SCHEMES)}, found {scheme[1]}")
        options = {"protocol_whitelist": _STREAM_PROTOCOLS}
        if scheme[1].lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # UDP loses packets, and firewalls block it
        return _Input(without_password(text), text, options)
    if isinstance(source, int) or (text.isdecimal() and not Path(text).exists()):
        return _Input(f"camera {text}", _camera(int(text)), format="v4l2")
    path = Path(text)
    try:
        if path.is_dir():
            raise VideoError(f"{text}: expected a video, found a folder; name a file in it")
        if not path.exists():
            raise VideoError(f"{text}: no such file; check the path")
        if not path.is_file():
            raise VideoError(f"{text}: expected a regular file, found a device or pipe")
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(f"{text}: cannot be read ({error.strerror}); check its permissions") from error
    return _Input(text, f"file:{path}", {"protocol_whitelist": _FILE_PROTOCOLS}, file=path)


def _camera(number: int) -> str:
    if sys.platform != "linux":
        raise VideoError(
            f"camera {number}: cameras are only read on Linux; elsewhere give the address of a stream"
        )
    device = Path(f"/dev/video{number}")
    if not device.exists():
        there = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
        found = f"found camera {', '.join(there)}" if there else "found no camera"
        raise VideoError(f"camera {number}: no device {device}; {found}")
    return str(device)


def _open(given: _Input) -> InputContainer:
    try:
        return av.open(
            given.address,
            format=given.format,
            options=given.options,
            timeout=_TIMEOUT if given.file is None else None,
            metadata_errors="replace",
        )
    except FFmpegError as error:
        if given.file is None:
            raise VideoError(
                f"{given.name}: cannot be opened ({_reason(error)}); check that it is there and not in use"
            ) from error
        raise VideoError(
            f"{given.name}: expected a video, found none ({_reason(error)}); "
            "it may be no video, or cut off before the index that some files keep at their end"
        ) from error


def open_file(path: Path) -> InputContainer:
    """A file as ``VideoSource`` reads it: fetching nothing for it, its texts in whatever encoding.

    Raises:
        FFmpegError: if it cannot be opened.
    """
    return av.open(f"file:{path}", options={"protocol_whitelist": _FILE_PROTOCOLS}, metadata_errors="replace")


def _is_picture(container: InputContainer) -> bool:
    form = container.format.name
    if form.endswith(_PICTURES):
        return True
    kinds = {form, container.metadata.get("major_brand")}
    return bool(kinds & _MAYBE_PICTURES) and all(stream.frames == 1 for stream in container.streams.video)


def _stored_how(decoded: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether rows and columns are swapped; and after they were put right, left and right; top and bottom."""
    data = decoded.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # A point (x, y) of the picture as it is stored is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name}: expected frames of at most {MAX_PIXELS / 1e6:.0f} megapixels, "
            f"found {width} x {height}; scale the video down first"
        )


def _reason(error: FFmpegError) -> str:
    return error.strerror or type(error).__name__

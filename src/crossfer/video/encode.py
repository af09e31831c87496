"""The annotated copy: its pictures encoded in segments that survive an interruption, then joined with sound.

A segment is a whole file. At the end the segments are put one after the other without encoding them anew, and
the sound of the source is copied beside them.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.audio import AudioFrame, AudioStream
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError, InvalidDataError

from crossfer.system.atomic import to_disk, whole_file
from crossfer.video.source import VideoError, open_file, packets_of

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
# No frames that refer to later ones: so segments can be joined packet by packet, whatever the frame times.
_CODEC, _OPTIONS = "libx264", {"crf": "20", "preset": "veryfast", "bf": "0"}
MOST_SIDE = 16_384  # pixels that libx264 takes in a row or column
_BT709 = 1  # FFmpeg's number for these primaries, transfer and matrix
_LIMITED = 1  # FFmpeg's number for luma from 16 to 235, which every player expects
_FINEST = 1_000_000  # units of time a second that an MP4 file can hold
_USUAL_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_SOUND: Literal["aac"] = "aac"  # where the sound of the source does not fit into the copy's kind of file
_SOUND_RATES = frozenset(av.Codec(_SOUND, "w").audio_rates or ())  # samples a second that it knows
_USUAL_SOUND_RATE = 48_000
_STRAY = 50  # packets in a row after the end of the pictures that are more than a few wrong time stamps
_NOTED = 0.5  # seconds of sound that are told to be lacking


@dataclass(frozen=True)
class Segment:
    """A stretch of the annotated copy.

    Attributes:
        name: of its file.
        first: when its first frame is shown, in units of the time base.
        last: likewise its last frame.
    """

    name: str
    first: int
    last: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class SegmentWriter:
    """Encodes frames with their times (H.264) into segments; sizes that are odd get one more row or column.

    Args:
        folder: where the segments go.
        time_base: unit of the time stamps in seconds.
        rate: frames per second, roughly; the times decide.
        segments: those that are there already.
    """

    def __init__(
        self, folder: Path, time_base: Fraction, rate: Fraction, segments: Sequence[Segment] = ()
    ) -> None:
        self.segments = list(segments)
        self.time_base = time_base if time_base.denominator <= _FINEST else Fraction(1, 90_000)
        self._folder = folder
        self._rate = rate
        self._last = self.segments[-1].last if self.segments else -1
        self._open: tuple[OutputContainer, av.VideoStream, Segment] | None = None

    def write(self, pixels: np.ndarray, time: float) -> None:
        """Appends a frame.

        Args:
            pixels: uint8 RGB, shape (H, W, 3), all of one size.
            time: in seconds, later than the last.

        Raises:
            OSError: if the segment cannot be written.
            VideoError: if a side is longer than ``MOST_SIDE``.
        """
        height, width = pixels.shape[:2]
        if max(width, height) > MOST_SIDE:
            raise VideoError(
                f"--annotate: expected frames of at most {MOST_SIDE} pixels a side, the limit of the encoder "
                f"(H.264), found {width} x {height}; scale the video down first, or leave out --annotate"
            )
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        stamp = max(round(time / self.time_base), self._last + 1)
        with _clear_errors(self._folder):
            self._encode(pixels, stamp)
        self._last = stamp

    def _encode(self, pixels: np.ndarray, stamp: int) -> None:
        container, stream, segment = self._open or self._begin(pixels.shape[1], pixels.shape[0], stamp)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        picture.pts, picture.time_base = stamp - segment.first, self.time_base
        container.mux(stream.encode(picture))

    def end_segment(self) -> None:
        """Completes the segment at hand: what was written so far is safe."""
        if self._open is not None:
            container, stream, segment = self._open
            with _clear_errors(self._folder):
                container.mux(stream.encode(None))
                container.close()
            to_disk(self._folder / segment.name)
            self.segments.append(replace(segment, last=self._last))
            self._open = None

    def abandon(self) -> None:
        """Closes what is open, after an error; the segment at hand does not count."""
        if self._open is not None:
            with suppress(FFmpegError):
                self._open[0].close()
            self._open = None

    def _begin(self, width: int, height: int, stamp: int) -> tuple[OutputContainer, av.VideoStream, Segment]:
        segment = Segment(f"segment-{len(self.segments):05d}.mp4", stamp, stamp)
        container = av.open(f"file:{self._folder / segment.name}", "w", format="mp4")
        stream = container.add_stream(_CODEC, rate=self._rate, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = self.time_base
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        self._open = container, stream, segment
        return self._open


def join(
    segments: Sequence[Segment],
    folder: Path,
    target: Path,
    *,
    time_base: Fraction,
    end: float,
    sound: Path | None,
) -> list[str]:
    """Writes the annotated copy from its segments and the sound of the source; it is whole or not there.

    Args:
        segments: in order, at least one.
        folder: where they lie.
        target: the file to write; its suffix says of which kind.
        time_base: of the segments' stamps.
        end: when the last frame ends, in seconds: sound ends there too.
        sound: the file whose sound to copy; None for silence.

    Returns:
        What to tell the user about the sound: that some of it had to be encoded anew, or left out.

    Raises:
        OSError: if the copy cannot be written, or the source is no longer there.
    """
    with whole_file(target) as part, _clear_errors(target), ExitStack() as stack:
        kind = _kind(target)
        # The index at the start: a browser can play the file before it has all of it.
        options = {} if kind == "matroska" else {"movflags": "faststart"}
        output = stack.enter_context(av.open(f"file:{part}", "w", format=kind, options=options))
        source = stack.enter_context(_opened(sound)) if sound is not None else None
        first = stack.enter_context(av.open(f"file:{folder / segments[0].name}"))
        video = output.add_stream_from_template(first.streams.video[0])
        video.time_base = time_base
        tracks, notes = _sound_tracks(output, source, kind)
        output.start_encoding()
        pictures = _video_packets(segments, folder, video, time_base, round(end / time_base))
        sounds = _sound_packets(source, tracks, end) if source is not None else iter(())
        for packet in heapq.merge(pictures, sounds, key=_when):
            # Damaged sound is known by the muxer alone; without it there is still a copy.
            with suppress(InvalidDataError) if isinstance(packet.stream, AudioStream) else nullcontext():
                output.mux(packet)
    lost = max((track.lost for track in tracks.values()), default=0.0)
    if lost > _NOTED:
        notes.append(f"{lost:.2f} s of sound whose time stamps run back were left out")
    return notes


@contextmanager
def _clear_errors(place: Path, wished: str = "written") -> Iterator[None]:
    """FFmpeg's errors are of many kinds; what cannot be written, or read, is an OSError."""
    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno, f"cannot be {wished}: {error.strerror}", str(place)) from error


def _opened(source: Path) -> InputContainer:
    with _clear_errors(source, "read"):
        return open_file(source)


def _kind(target: Path) -> str:
    return {".mkv": "matroska", ".mov": "mov"}.get(target.suffix.lower(), "mp4")


def _when(packet: av.Packet) -> float:
    stamp = packet.dts if packet.dts is not None else packet.pts or 0
    return float(stamp * (packet.time_base or 0))


def _video_packets(
    segments: Sequence[Segment], folder: Path, stream: av.VideoStream, time_base: Fraction, end: int
) -> Iterator[av.Packet]:
    """The packets of all segments; each lasts until the next one."""
    stamped = chain(_stamped(segments, folder, time_base), [(av.Packet(), end)])
    for (packet, stamp), (_, after) in pairwise(stamped):
        packet.stream, packet.time_base = stream, time_base
        packet.pts = packet.dts = stamp
        packet.duration = max(1, after - stamp)
        yield packet


def _stamped(
    segments: Sequence[Segment], folder: Path, time_base: Fraction
) -> Iterator[tuple[av.Packet, int]]:
    for segment in segments:
        with av.open(f"file:{folder / segment.name}") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is not None and packet.time_base is not None:
                    yield packet, segment.first + round(packet.pts * packet.time_base / time_base)


@dataclass
class _Track:
    """A stream of sound of the copy.

    Attributes:
        made: that stream.
        anew: whether it is encoded anew.
        strict: whether each packet has to be later than the one before; else no earlier.
        last: time of the last packet in seconds; None at the beginning.
        lost: seconds of sound that were left out, since their times run back.
    """

    made: AudioStream
    anew: bool
    strict: bool
    last: Fraction | None = None
    lost: float = 0.0
    _resampler: AudioResampler | None = None
    _form: tuple[str, str, int] | None = None

    def resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        """A frame as the encoder takes it; layout and rate may change on the way, as in a broadcast."""
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if self._resampler is None or form != self._form:
            context = self.made.codec_context
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
            self._form = form
        return self._resampler.resample(frame)

    def in_order(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Those that can follow what is there: the first that cannot would end the copy."""
        for packet in packets:
            unit = packet.time_base
            time = (packet.dts or 0) * unit
            step = max(unit, self.made.time_base or unit) if self.strict else 0
            if self.last is not None and time < self.last + step:
                self.lost += float((packet.duration or 0) * unit)
            else:
                self.last = time
                yield packet


def _sound_tracks(
    output: OutputContainer, source: InputContainer | None, kind: str
) -> tuple[dict[int, _Track], list[str]]:
    """For each stream of sound its number in the source and what becomes of it."""
    tracks: dict[int, _Track] = {}
    notes = []
    strict = kind != "matroska"
    for stream in source.streams.audio if source is not None else ():
        if stream.codec_context is None:
            notes.append("sound of a kind that cannot be decoded was left out")
            continue
        name = stream.codec_context.codec.canonical_name
        if _fits(name, stream, kind) and _is_taken(stream, kind):
            tracks[stream.index] = _Track(output.add_stream_from_template(stream), anew=False, strict=strict)
        else:
            rate = stream.codec_context.sample_rate
            made = output.add_stream(_SOUND, rate=rate if rate in _SOUND_RATES else _USUAL_SOUND_RATE)
            # The layout that the file states may be unknown; two channels play everywhere.
            made.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
            tracks[stream.index] = _Track(made, anew=True, strict=strict)
            notes.append(f"sound of the kind {name} was encoded anew as {_SOUND}")
    return tracks, notes


def _fits(name: str, stream: AudioStream, kind: str) -> bool:
    """Whether players expect such sound in such a file."""
    if kind == "matroska" or name in _USUAL_SOUND:
        return True
    exact = stream.time_base is not None and stream.time_base * stream.codec_context.sample_rate == 1
    return kind == "mov" and name.startswith("pcm_") and exact


def _is_taken(stream: AudioStream, kind: str) -> bool:
    """Whether FFmpeg writes such sound into such a file: it says so only when it begins one."""
    try:
        with av.open(io.BytesIO(), "w", format=kind) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (FFmpegError, ValueError):  # the latter by PyAV, for what it knows not to fit
        return False
    return True


def _sound_packets(source: InputContainer, tracks: dict[int, _Track], end: float) -> Iterator[av.Packet]:
    """The source's sound up to ``end``, from zero at the source's start; what cannot be read is left out."""
    start = Fraction(source.start_time or 0, av.time_base)
    for packet in _packets_until(source, tracks, end + float(start)):
        track = tracks[packet.stream.index]
        if track.anew:
            yield from track.in_order(_encoded_anew(packet, track, start))
            continue
        shift = round(start / packet.time_base)
        packet.dts = (packet.dts or 0) - shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = track.made
        yield from track.in_order([packet])
    for track in tracks.values():
        if track.anew:
            yield from track.in_order(track.made.encode(None))


def _packets_until(source: InputContainer, tracks: dict[int, _Track], end: float) -> Iterator[av.Packet]:
    """The packets of sound that begin before ``end``, by the source's clock."""
    packets = packets_of(source, *(stream for stream in source.streams.audio if stream.index in tracks))
    beyond, within = dict.fromkeys(tracks, 0), dict.fromkeys(tracks, 0.0)
    while min(beyond.values(), default=_STRAY) < _STRAY:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):  # at the point where a file is cut off
            return
        number = packet.stream.index
        if packet.dts is None or beyond[number] >= _STRAY:
            continue
        time = float(packet.dts * packet.time_base)
        if time >= end:
            beyond[number] += 1
        elif beyond[number] and time < within[number]:  # the clock began anew after the end
            beyond[number] = _STRAY
        else:
            beyond[number], within[number] = 0, time
            yield packet


def _encoded_anew(packet: av.Packet, track: _Track, start: Fraction) -> Iterator[av.Packet]:
    unit = Fraction(1, track.made.codec_context.sample_rate)  # the encoder keeps to that of its first frame
    try:
        for frame in packet.decode():
            if frame.pts is not None and frame.time_base:
                frame.pts = round((frame.pts * frame.time_base - start) / unit)
                frame.time_base = unit
            for part in track.resampled(frame):
                yield from track.made.encode(part)
    except FFmpegError:
        return

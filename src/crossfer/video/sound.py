"""The sound of the source beside the pictures of the copy: as it is where that fits, else encoded anew."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.audio import AudioFrame, AudioStream
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from crossfer.video.encode import clear_errors
from crossfer.video.source import open_file, packets_of

_USUAL_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_SOUND: Literal["aac"] = "aac"  # where the sound of the source does not fit into the copy's kind of file
_SOUND_RATES = frozenset(av.Codec(_SOUND, "w").audio_rates or ())  # samples a second that it knows
_USUAL_SOUND_RATE = 48_000
_STRAY = 50  # packets in a row after the end that are more than a few wrong time stamps


@dataclass
class SoundTrack:
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


def open_sound(source: Path) -> InputContainer:
    """A source whose sound is wanted.

    Raises:
        OSError: if it cannot be opened; it names the source.
    """
    with clear_errors(source, "read"):
        return open_file(source)


def sound_tracks(
    output: OutputContainer, source: InputContainer | None, kind: str
) -> tuple[dict[int, SoundTrack], list[str]]:
    """Gives the copy a stream for each stream of sound that the source has.

    Args:
        output: the copy, which has not begun yet.
        source: whose sound; None for silence.
        kind: FFmpeg's name for the kind of file that the copy is.

    Returns:
        By its number in the source what becomes of each stream; and what to tell the user about that.
    """
    tracks: dict[int, SoundTrack] = {}
    notes = []
    strict = kind != "matroska"
    for stream in source.streams.audio if source is not None else ():
        if stream.codec_context is None:
            notes.append("sound of a kind that cannot be decoded was left out")
            continue
        name = stream.codec_context.codec.canonical_name
        if _fits(name, stream, kind) and _is_taken(stream, kind):
            tracks[stream.index] = SoundTrack(
                output.add_stream_from_template(stream), anew=False, strict=strict
            )
        else:
            rate = stream.codec_context.sample_rate
            made = output.add_stream(_SOUND, rate=rate if rate in _SOUND_RATES else _USUAL_SOUND_RATE)
            # The layout that the file states may be unknown; two channels play everywhere.
            made.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
            tracks[stream.index] = SoundTrack(made, anew=True, strict=strict)
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


def sound_packets(source: InputContainer, tracks: dict[int, SoundTrack], end: float) -> Iterator[av.Packet]:
    """The source's sound, from zero at the source's start; what cannot be read is left out.

    Args:
        source: as ``open_sound`` gave it.
        tracks: as ``sound_tracks`` gave them.
        end: in seconds; packets that begin there or later are left out.
    """
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


def _packets_until(source: InputContainer, tracks: dict[int, SoundTrack], end: float) -> Iterator[av.Packet]:
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


def _encoded_anew(packet: av.Packet, track: SoundTrack, start: Fraction) -> Iterator[av.Packet]:
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

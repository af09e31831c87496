"""The annotated copy: segments put one after the other without encoding them anew, and the source's sound."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
from av.audio import AudioStream
from av.error import InvalidDataError

from crossfer.system.atomic import whole_file
from crossfer.video.encode import Segment, clear_errors
from crossfer.video.sound import open_sound, sound_packets, sound_tracks

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_NOTED = 0.5  # seconds of sound that are told to be lacking


def join(
    segments: Sequence[Segment],
    folder: Path,
    target: Path,
    *,
    time_base: Fraction,
    end: float,
    sound: Path | None,
    sound_end: float = 0.0,
) -> list[str]:
    """Writes the annotated copy from its segments and the sound of the source; it is whole or not there.

    Args:
        segments: in order, at least one.
        folder: where they lie.
        target: the file to write; its suffix, one of ``SUFFIXES``, says of which kind.
        time_base: of the segments' stamps.
        end: when the last frame ends, in seconds.
        sound: the file whose sound to copy; None for silence.
        sound_end: when the sound ends at the latest, in seconds, if that is after the last frame.

    Returns:
        What to tell the user about the sound: that some of it had to be encoded anew, or left out.

    Raises:
        OSError: if the copy cannot be written, or the source is no longer there.
    """
    with whole_file(target) as part, clear_errors(target), ExitStack() as stack:
        kind = _kind(target)
        # The index at the start: a browser can play the file before it has all of it.
        options = {} if kind == "matroska" else {"movflags": "faststart"}
        output = stack.enter_context(av.open(f"file:{part}", "w", format=kind, options=options))
        source = stack.enter_context(open_sound(sound)) if sound is not None else None
        first = stack.enter_context(av.open(f"file:{folder / segments[0].name}"))
        video = output.add_stream_from_template(first.streams.video[0])
        video.time_base = time_base
        tracks, notes = sound_tracks(output, source, kind)
        output.start_encoding()
        pictures = _video_packets(segments, folder, video, time_base, round(end / time_base))
        sounds = sound_packets(source, tracks, max(end, sound_end)) if source is not None else iter(())
        for packet in heapq.merge(pictures, sounds, key=_when):
            # Damaged sound is known by the muxer alone; without it there is still a copy.
            with suppress(InvalidDataError) if isinstance(packet.stream, AudioStream) else nullcontext():
                output.mux(packet)
    lost = max((track.lost for track in tracks.values()), default=0.0)
    if lost > _NOTED:
        notes.append(f"{lost:.2f} s of sound whose time stamps run back were left out")
    return notes


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

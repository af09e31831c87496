"""Annotated copies composed for tests, and what is in them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from crossfer.video.encode import SegmentWriter
from support.clips import FINE, background

RATE = Fraction(25)


def numbered(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames that differ, the brightness of the upper half being their number's."""
    frames = []
    for number in range(count):
        frame = background(width, height)
        frame[: height // 2] = 20 + 8 * (number % 25)
        frames.append(frame)
    return frames


def encoded(folder: Path, frames, times, *, every: int = 7, time_base=FINE) -> SegmentWriter:
    """The frames in segments of ``every``; a new writer takes over after each, as after interruptions."""
    writer = SegmentWriter(folder, time_base, RATE)
    for number, (pixels, time) in enumerate(zip(frames, times, strict=True)):
        if number and number % every == 0:
            writer.end_segment()
            writer = SegmentWriter(folder, time_base, RATE, writer.segments)
        writer.write(pixels, time)
    writer.end_segment()
    return writer


def decoded(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(frame.pts * frame.time_base) for frame in frames], [
            frame.to_ndarray(format="rgb24") for frame in frames
        ]

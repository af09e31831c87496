"""The pictures of the annotated copy, encoded in segments that survive an interruption.

A segment is a whole file; see ``join`` for what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError

from crossfer.system.atomic import to_disk
from crossfer.video.source import VideoError

# No frames that refer to later ones: so segments can be joined packet by packet, whatever the frame times.
_CODEC, _OPTIONS = "libx264", {"crf": "20", "preset": "veryfast", "bf": "0"}
MOST_SIDE = 16_384  # pixels that libx264 takes in a row or column
_BT709 = 1  # FFmpeg's number for these primaries, transfer and matrix
_LIMITED = 1  # FFmpeg's number for luma from 16 to 235, which every player expects
_FINEST = 1_000_000  # units of time a second that an MP4 file can hold


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
        with clear_errors(self._folder):
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
            with clear_errors(self._folder):
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


@contextmanager
def clear_errors(place: Path, wished: str = "written") -> Iterator[None]:
    """FFmpeg's errors are of many kinds; what cannot be written, or read, is an OSError.

    Args:
        place: the file or folder that the error names.
        wished: what could not be done there.

    Raises:
        OSError: for any of FFmpeg's errors within.
    """
    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno, f"cannot be {wished}: {error.strerror}", str(place)) from error

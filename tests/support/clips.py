"""Clips composed for tests: a portrait moved over a background, written with PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDTH, HEIGHT, RATE = 320, 192, 25
HEAD = (slice(10, 230), slice(115, 335))  # of the astronaut: rows and columns around her head
FINE = Fraction(1, 90_000)


@dataclass(frozen=True)
class Place:
    """The middle of a head in a frame, in pixels."""

    x: float
    y: float


def background(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A smooth, bluish slope without faces."""
    rows, columns = np.mgrid[:height, :width]
    channels = (columns * 60 / width + 40, rows * 60 / height + 50, columns * 0 + 90)
    return np.stack(channels, axis=-1).astype(np.uint8)


def head(astronaut: np.ndarray, side: int, *, mirrored: bool = False) -> np.ndarray:
    """The portrait's head as a square picture."""
    pixels = np.asarray(Image.fromarray(astronaut[HEAD]).resize((side, side), Image.Resampling.BICUBIC))
    return pixels[:, ::-1] if mirrored else pixels


def paste(canvas: np.ndarray, picture: np.ndarray, place: Place) -> None:
    """Puts a picture's middle at a place, cut at the canvas's edges; rounded like an oval."""
    side = len(picture)
    left, top = round(place.x - side / 2), round(place.y - side / 2)
    rows, columns = np.mgrid[:side, :side]
    oval = ((rows - side / 2) / (side / 2)) ** 2 + ((columns - side / 2) / (side / 2)) ** 2 <= 1
    inside = oval & (rows + top >= 0) & (rows + top < canvas.shape[0])
    inside &= (columns + left >= 0) & (columns + left < canvas.shape[1])
    r, c = np.nonzero(inside)
    canvas[r + top, c + left] = picture[r, c]


def frames_with(
    heads: Sequence[np.ndarray],
    places: Iterable[Sequence[Place | None]],
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> list[np.ndarray]:
    """One frame for each row of places; the first head is in front of the others."""
    frames = []
    for row in places:
        canvas = background(width, height)
        for picture, place in reversed(list(zip(heads, row, strict=True))):
            if place is not None:
                paste(canvas, picture, place)
        frames.append(canvas)
    return frames


def line(start: Place, end: Place, count: int) -> list[Place]:
    """Even motion in ``count`` frames."""
    shares = np.linspace(0, 1, count)
    return [Place(start.x + (end.x - start.x) * s, start.y + (end.y - start.y) * s) for s in shares]


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    times: Sequence[float] | None = None,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    time_base: Fraction = FINE,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    sound: str | None = None,
    sound_rate: int = 44_100,
    sound_end: float | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes frames as a video, 25 a second unless ``times`` are given.

    ``sound`` is the codec of a tone, which ends at second ``sound_end``, or with the last frame.
    """
    kept = list(frames)
    stamps = list(times) if times is not None else [number / RATE for number in range(len(kept))]
    quality = {"crf": "16", "preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=RATE, options={**quality, **(options or {})})
        stream.height, stream.width = kept[0].shape[:2] if kept else (HEIGHT, WIDTH)
        stream.pix_fmt, stream.codec_context.time_base = pixel_format, time_base
        if aspect is not None:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(sound, rate=sound_rate) if sound else None
        container.start_encoding()
        for pixels, time in zip(kept, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(time / time_base), time_base
            container.mux(stream.encode(frame))
        if kept:
            container.mux(stream.encode(None))
        if tone is not None:
            _write_tone(container, tone, stamps[0], sound_end or stamps[-1] + 1 / RATE)
    return path


def _write_tone(
    container: av.container.OutputContainer, stream: av.AudioStream, first: float, end: float
) -> None:
    """A rising tone."""
    count, size = round((end - first) * 44_100), 1024
    wave = (np.sin(np.arange(count) ** 1.2 / 40) * 8000).astype(np.int16)
    for start in range(0, count, size):
        samples = wave[None, start : start + size]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 44_100, Fraction(1, 44_100)
        frame.pts = round(first * 44_100) + start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def cut(path: Path, target: Path, share: float) -> Path:
    """The first part of a file."""
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target

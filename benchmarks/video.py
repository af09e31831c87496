"""How fast a video is gone through, against real time, and where the time goes.

    python benchmarks/video.py [--faces 1 5 20] [--seconds 10] [--detect-every 3] [--threads 2] [--annotate]

Composes a clip of 640 x 360 at 25 frames a second from the portrait that scikit-image carries, with so many
moving faces, and goes through it with the embedded model as ``crossfer video`` does. Times are wall clock on
one process; use an idle machine, and say which. "finds" is the mean number of faces a frame.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np
from PIL import Image
from script import positive_float, positive_int, run_script

from crossfer.bench.photo import sample_portrait
from crossfer.images.read import load_image
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.recognizer import Recognizer
from crossfer.video.draw import draw_frame
from crossfer.video.encode import SegmentWriter
from crossfer.video.recognize import VideoRecognizer, VideoSettings
from crossfer.video.rows import row_lines
from crossfer.video.source import VideoSource
from crossfer.video.tracks import Tracks

WIDTH, HEIGHT, RATE = 640, 360, 25
HEAD = (slice(10, 230), slice(115, 335))  # of the portrait
METHODS = (("detect", CenterFace, "detect"), ("track", Tracks, "look"), ("classify", Recognizer, "classify"))
STAGES = ("decode", "detect", "track", "classify", "draw", "encode", "rest")


def compose(path: Path, faces: int, seconds: float) -> None:
    """Heads in a grid that fills the picture, each swaying in its cell."""
    columns = int(np.ceil(np.sqrt(faces * WIDTH / HEIGHT)))
    rows = int(np.ceil(faces / columns))
    cell = min(WIDTH // columns, HEIGHT // rows)
    side = int(cell * 0.85)
    head = Image.fromarray(load_image(sample_portrait())[HEAD])
    picture = np.asarray(head.resize((side, side), Image.Resampling.BICUBIC))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * RATE)):
            canvas = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
            for face in range(faces):
                sway = (cell - side) / 2 * np.sin(number / 9 + face)
                left = round(face % columns * WIDTH / columns + (WIDTH / columns - side) / 2 + sway)
                top = round(face // columns * HEIGHT / rows + (HEIGHT / rows - side) / 2)
                canvas[top : top + side, left : left + side] = picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))
        container.mux(stream.encode(None))


class Clock:
    """Adds up the wall-clock seconds of each stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def timed(self, stage: str, function: Callable) -> Callable:
        """The function, with its time added to a stage."""

        def run(*arguments: object, **options: object) -> object:
            with self.during(stage):
                return function(*arguments, **options)

        return run

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Adds the time inside to a stage."""
        start = time.perf_counter()
        yield
        self.spent[stage] += time.perf_counter() - start


def go_through(path: Path, recognizer: Recognizer, every: int, folder: Path | None) -> tuple[Clock, int, int]:
    """Time by stage, frames, and faces over all frames."""
    clock, frames, faces = Clock(), 0, 0
    start = time.perf_counter()
    with ExitStack() as open_yet:
        for stage, kind, method in METHODS:
            timed = clock.timed(stage, getattr(kind, method))
            open_yet.enter_context(patch.object(kind, method, timed))
        source = open_yet.enter_context(VideoSource(path))
        working = VideoRecognizer(recognizer, VideoSettings(every), rate=RATE)
        copy = SegmentWriter(folder, source.time_base, Fraction(RATE)) if folder is not None else None
        reading = source.frames()
        while True:
            with clock.during("decode"):
                frame = next(reading, None)
            done = working.finish() if frame is None else working.push(frame)
            for one in done:
                frames, faces = frames + 1, faces + len(one.faces)
                row_lines(one.rows())
                if copy is not None:
                    with clock.during("draw"):
                        drawn = draw_frame(one)
                    with clock.during("encode"):
                        copy.write(drawn, one.time)
            if frame is None:
                break
        if copy is not None:
            with clock.during("encode"):
                copy.end_segment()
    clock.spent["all"] = time.perf_counter() - start
    return clock, frames, faces


def main() -> None:
    """Prints one line a number of faces."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=positive_int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--seconds", type=positive_float, default=10.0)
    parser.add_argument("--detect-every", type=positive_int, default=3)
    parser.add_argument("--threads", type=positive_int, default=None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--annotate", action="store_true", help="also draw and encode a copy")
    args = parser.parse_args()
    recognizer = Recognizer(args.model, threads=args.threads)
    print(
        f"{WIDTH} x {HEIGHT} at {RATE} frames/s, {args.seconds:g} s, look every {args.detect_every} frames, "
    )
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; milliseconds a frame by stage")
    print(f"{'faces':>5} {'finds':>6} {'frames/s':>9} {'x real time':>12} ", *(f"{s:>9}" for s in STAGES))
    for count in args.faces:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            compose(path, count, args.seconds)
            copies = Path(folder) if args.annotate else None
            clock, frames, faces = go_through(path, recognizer, args.detect_every, copies)
        spent = clock.spent
        spent["rest"] = spent["all"] - sum(spent[stage] for stage in STAGES)
        pace = frames / spent["all"]
        parts = (f"{spent[stage] / frames * 1000:9.2f}" for stage in STAGES)
        print(f"{count:5} {faces / frames:6.2f} {pace:9.1f} {pace / RATE:12.2f} ", *parts)


if __name__ == "__main__":
    run_script(main)

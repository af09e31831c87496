"""How much time it saves to recognise fewer frames of a video.

    python benchmarks/video_every.py VIDEO [--every 0.2 0.5 1 2] [--model base]

Goes through the whole video on one thread, with each value of ``--every`` and without, in turn. Prints the
processor time as a share of that for all frames: the median of six rounds or more, and an interval that holds
the true median at least 95 times in 100. "decoding" reads every frame and looks at none.
"""

from __future__ import annotations

import argparse
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import process_time

from script import positive_float, run_script

from crossfer.bench.timing import Pace, in_turn, paired_ratio
from crossfer.runtime.recognizer import Recognizer
from crossfer.video.recognize import recognize_video
from crossfer.video.source import VideoSource

ALL, DECODING = "all frames", "decoding"


def decode(path: Path) -> None:
    """Reads the frames and drops them."""
    with VideoSource(path) as source:
        deque(source.frames(), maxlen=0)


def recognize(path: Path, recognizer: Recognizer, every: float) -> Callable[[], object]:
    """A call that goes through the video."""
    return lambda: deque(recognize_video(path, recognizer, every=every), maxlen=0)


def main() -> None:
    """Prints one line a value."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--every", type=positive_float, nargs="+", default=[0.2, 0.5, 1.0, 2.0])
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    recognizer = Recognizer(args.model, threads=1)
    ways = {ALL: recognize(args.video, recognizer, 0.0)}
    ways |= {f"--every {every:g}": recognize(args.video, recognizer, every) for every in args.every}
    ways[DECODING] = lambda: decode(args.video)
    samples = in_turn(ways, Pace(budget=0.0, block=0.0, warm_up=1), clock=process_time)
    print(f"{args.video.name}, {args.model}, one thread; load {os.getloadavg()[0]:.1f}")
    for way, seconds in samples.items():
        ratio = paired_ratio(seconds, samples[ALL])
        print(f"{way:12} {ratio.median:6.3f}  ({ratio.low:.3f} to {ratio.high:.3f})")


if __name__ == "__main__":
    run_script(main)

"""Draws the pictures of ``docs/video.md``: the NASA portrait as a clip, gone through by ``crossfer video``.

    python docs/draw_video.py [--output docs/images]

The portrait that scikit-image carries wanders over a dark ground, gets smaller, and has its mouth covered for
a while. Writes ``video-frame.png``, one frame of the annotated copy, and ``video-timeline.png``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

from crossfer.bench.photo import sample_portrait
from crossfer.images.read import load_image
from crossfer.runtime.recognizer import Recognizer
from crossfer.video.command import run_video
from crossfer.video.options import VideoOptions

WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 25, 8
SHOWN = 30  # the frame that is shown
COVERED = (3.0, 5.0)  # seconds for which the mouth is covered
COVER = (0.23, 0.36, 0.33, 0.56)  # by what: top, bottom, left and right as shares of the portrait's side


def pictures(photo: np.ndarray) -> list[np.ndarray]:
    """The frames of the clip."""
    frames = []
    for number in range(RATE * SECONDS):
        time = number / RATE
        side = round(HEIGHT * (1.0 - 0.25 * time / SECONDS))
        person = np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS)).copy()
        if COVERED[0] <= time < COVERED[1]:
            top, bottom, left, right = (round(side * share) for share in COVER)
            person[top:bottom, left:right] = (150, 110, 90)
        left = round((WIDTH - side) * (0.5 + 0.3 * np.sin(time)))
        canvas = np.full((HEIGHT, WIDTH, 3), 26, np.uint8)
        canvas[HEIGHT - side :, left : left + side] = person
        frames.append(canvas)
    return frames


def write(path: Path, frames: list[np.ndarray]) -> None:
    """Writes frames as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Writes both pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    photo = load_image(sample_portrait())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "clip.mp4", pictures(photo))
        options = VideoOptions(annotate=folder / "copy.mp4", timeline=folder)
        run_video(folder / "clip.mp4", Recognizer(), options, write=print)
        with av.open(str(folder / "copy.mp4")) as container:
            shown = next(f for number, f in enumerate(container.decode(video=0)) if number == SHOWN)
            shown.to_image().save(args.output / "video-frame.png", optimize=True)
        (args.output / "video-timeline.png").write_bytes((folder / "person-1.png").read_bytes())


if __name__ == "__main__":
    main()

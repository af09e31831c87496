"""What scoring a corpus costs: cores, a plain loop, memory, and where the time goes.

    python benchmarks/score.py [--detectors none centerface] [--images 4000] [--rounds 3]
    python benchmarks/score.py --memory 1000 10000 100000     # peak memory alone, face crops

Images lie in memory (a file system there, by default /dev/shm), drawn from the portrait that scikit-image
carries: crops of 48 px, or photos of 512 px of which there are a tenth as many. In each round a plain loop
over ``Recognizer`` on one thread, one worker and two workers take turns, so that a machine that slows down
slows all three; ratios are those of one round, and their median counts. A rate leaves out the start of the
processes and the first part of each; when the first rows come is stated by itself. Memory is the most that
any one process held.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow.parquet import ParquetWriter
from script import positive_int, run_script

from crossfer.bench.photo import sample_portrait
from crossfer.defaults import DetectorName
from crossfer.runtime.recognizer import Recognizer
from crossfer.scale.output import manifest

FACE = (160, 45, 290, 175)  # left, top, right, bottom in the portrait
PHOTOS_PER_CROP = 0.1
SCORE = "import sys; from crossfer.cli import main; sys.argv[0] = 'crossfer'; main()"


def portrait() -> Image.Image:
    """What all are drawn from, 512 x 512."""
    return Image.open(sample_portrait()).convert("RGB")


def picture(source: Image.Image, number: int, detector: str) -> bytes:
    """A face crop (PNG) or photo (JPEG) that differs from every other by a shift and by its light."""
    rng = np.random.default_rng(number)
    left, top = (int(shift) for shift in rng.integers(-8, 9, 2))
    light = rng.uniform(0.7, 1.2)
    lit = source.point([min(255, int(value * light)) for value in range(256)] * len(source.getbands()))
    content = io.BytesIO()
    if detector == "none":
        box = (FACE[0] + left, FACE[1] + top, FACE[2] + left, FACE[3] + top)
        lit.crop(box).resize((48, 48)).convert("L").save(content, "PNG")
    else:
        lit.transform(lit.size, Image.Transform.AFFINE, (1, 0, left, 0, 1, top)).save(
            content, "JPEG", quality=90
        )
    return content.getvalue()


def draw(folder: Path, count: int, detector: str) -> list[Path]:
    """So many image files."""
    source = portrait()
    folder.mkdir()
    paths = [folder / f"{number:06}.{'png' if detector == 'none' else 'jpg'}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(source, number, detector))
    return paths


def loop_rate(paths: list[Path], detector: DetectorName) -> float:
    """Images a second of a plain loop, as one would write it by hand."""
    recognizer = Recognizer(detector=detector, threads=1)
    recognizer.recognize(paths[0])
    start = time.perf_counter()
    for path in paths:
        recognizer.recognize(path)
    return len(paths) / (time.perf_counter() - start)


def run(corpus: Path, output: Path, *options: str) -> dict[str, Any]:
    """The summary of a run in processes of its own."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", SCORE, "score", str(corpus), "-o", str(output), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return json.loads((output / "summary.json").read_text())


def score_rate(folder: Path, scratch: Path, detector: str, workers: int) -> tuple[float, dict[str, Any]]:
    """Images a second once each worker has done its first part, and the summary."""
    summary = run(folder, scratch / "out", "--detector", detector, "--workers", str(workers))
    parts = [line for line in manifest(scratch / "out") if "shard" in line]
    parts.sort(key=lambda line: line["finished"])
    # All workers are at the first parts together: only what follows the last of them took the time after it.
    images = sum(line["tally"]["images"] for line in parts[workers:])
    return images / (parts[-1]["finished"] - parts[workers - 1]["finished"]), summary


def compare(detector: DetectorName, images: int, rounds: int, scratch: Path) -> None:
    """Prints rates and ratios of a plain loop, one worker and two."""
    count = images if detector == "none" else max(round(images * PHOTOS_PER_CROP), 200)
    paths = draw(scratch / detector, count, detector)
    print(f"detector {detector}, {count:,} images in memory")
    against_loop, linear, summary = [], [], {}
    for number in range(rounds):
        loop = loop_rate(paths, detector)
        one, summary = score_rate(paths[0].parent, scratch, detector, 1)
        two, _ = score_rate(paths[0].parent, scratch, detector, 2)
        against_loop.append(one / loop)
        linear.append(two / (2 * one))
        print(
            f"  round {number + 1}: loop {loop:8.1f}, one worker {one:8.1f}, two {two:8.1f} images/s; "
            f"first rows after {summary['stints'][0]['first_rows_after']:.1f} s"
        )
    print(f"  one worker against the loop   {statistics.median(against_loop):6.3f}   (wanted: 0.95 or more)")
    print(f"  two workers against linear    {statistics.median(linear):6.3f}   (wanted: 0.85 or more)")
    total = sum(summary["seconds"].values())
    stages = ", ".join(f"{stage} {value / total:.1%}" for stage, value in summary["seconds"].items())
    print(f"  time of one worker            {stages}")


def measure_memory(counts: list[int], scratch: Path) -> None:
    """Prints the peak of the largest process for corpora of different lengths, in a Parquet file."""
    source, schema = portrait(), pa.schema([("image", pa.binary())])
    block = [picture(source, number, "none") for number in range(1000)]
    for count in counts:
        corpus = scratch / f"{count}.parquet"
        with ParquetWriter(corpus, schema) as writer:
            for start in range(0, count, len(block)):
                writer.write_table(pa.table({"image": block[: count - start]}, schema))
        summary = run(corpus, scratch / "out", "--detector", "none")
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{count:9,} images: worker {summary['worker_peak_bytes'] / 2**20:6.0f} MiB, "
            f"largest process so far {largest:6.0f} MiB, "
            f"{summary['stints'][0]['images_per_second']:,.0f} images/s"
        )


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--detectors", nargs="+", choices=["none", "centerface"], default=["none", "centerface"]
    )
    parser.add_argument(
        "--images", type=positive_int, default=4000, help="face crops; of photos there are a tenth"
    )
    parser.add_argument("--rounds", type=positive_int, default=3)
    parser.add_argument("--memory", nargs="+", type=positive_int, metavar="N", help="measure memory instead")
    parser.add_argument("--scratch", default="/dev/shm" if Path("/dev/shm").is_dir() else None)  # noqa: S108
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        if args.memory:
            measure_memory(args.memory, Path(scratch))
            return
        for detector in args.detectors:
            compare(detector, args.images, args.rounds, Path(scratch))


if __name__ == "__main__":
    run_script(main)

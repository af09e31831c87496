"""What is lost between a ready-made crop and a photo: FERPlus faces as crops, and found by the detector.

    python benchmarks/end_to_end.py --root FERPLUS_DIR [--split valid] [--model default] [--enlarge 3]

Each face is padded with its mean grey, enlarged, and written into a folder per class, which is then evaluated
as ``crossfer evaluate --data folder`` does; beside it stands the model on the crops themselves. A face that
is not found counts as wrong, so both the detector's misses and the crop's errors show.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from crop_contract import PADDINGS
from PIL import Image
from script import positive_float, run_script

from crossfer.data.sample import Dataset
from crossfer.data.source import open_dataset
from crossfer.evaluate.evaluation import evaluate
from crossfer.labels import FERPLUS
from crossfer.runtime.recognizer import Recognizer


def write_photos(dataset: Dataset, folder: Path, enlarge: float) -> None:
    """One PNG a face, 96 x ``enlarge`` pixels a side, in a folder per class."""
    for name in {FERPLUS.expressions[sample.label] for sample in dataset.samples}:
        (folder / name).mkdir()
    for sample in dataset.samples:
        padded = Image.fromarray(PADDINGS["mean grey"](dataset.read(sample)[..., 0]))
        side = round(padded.width * enlarge)
        path = folder / FERPLUS.expressions[sample.label] / Path(sample.path).name
        padded.resize((side, side), Image.Resampling.BICUBIC).save(path, compress_level=1)


def main() -> None:
    """Prints accuracy on crops, end to end, and end to end among the faces found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that holds FERPlus")
    parser.add_argument("--split", choices=["train", "valid", "test"], default="valid")
    parser.add_argument("--model", default="default")
    parser.add_argument("--enlarge", type=positive_float, default=3.0)
    parser.add_argument("--min-face-score", type=float, default=0.5)
    args = parser.parse_args()
    crops = open_dataset("ferplus", args.root, split=args.split)
    direct = evaluate(Recognizer(args.model, detector="none"), crops)
    with tempfile.TemporaryDirectory() as folder:
        write_photos(crops, Path(folder), args.enlarge)
        finding = Recognizer(args.model, min_face_score=args.min_face_score)
        found = evaluate(finding, open_dataset("folder", folder))
    answered = found.n - found.no_face
    among = float(np.trace(np.array(found.confusion))) / max(answered, 1)
    print(f"{args.split}, majority/fer2013new, n = {direct.n:,}, enlarged {args.enlarge:g} times")
    print(f"  crops                     {direct.accuracy:8.2%}")
    misses = f"{found.no_face:,} faces not found count as wrong"
    print(f"  end to end                {found.accuracy:8.2%}   ({misses})")
    print(f"  end to end, faces found   {among:8.2%}   (n = {answered:,})")


if __name__ == "__main__":
    run_script(main)

"""Measures how FER2013 frames a face, in terms of what the detector sees.

    python benchmarks/crop_contract.py --root FERPLUS_DIR [--count 1500] [--seed 0]
    python benchmarks/crop_contract.py --root FERPLUS_DIR --accuracy [--model default]

FERPLUS_DIR holds ``FER2013Train.zip`` or the unpacked ``FER2013Train/``. Only training faces are read. Each
48 x 48 face is padded, enlarged by a factor drawn from ``ENLARGEMENTS``, and given to the detector; all
figures are fractions of the frame's side. The constants printed last are the defaults of
``crossfer.runtime.align.CropGeometry``.

With ``--accuracy`` all validation faces are padded with their mean grey, enlarged ``PHOTO`` times and found,
and the model sees each as crossfer cuts it and as those cut who have only boxes.
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from script import positive_int, run_script

from crossfer.data.source import open_dataset
from crossfer.runtime.align import CropGeometry, crop_face
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.detection import Detection
from crossfer.runtime.recognizer import Recognizer
from crossfer.types import Box

FRAME, PAD = 48, 24
ENLARGEMENTS = (1.5, 2, 3, 4, 6)  # faces of about 70 to 290 pixels, as in photos scaled to 640
PHOTO = 3
PADDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "reflect": lambda face: np.pad(face, PAD, mode="reflect"),
    "edge": lambda face: np.pad(face, PAD, mode="edge"),
    "black": lambda face: np.pad(face, PAD),
    "mean grey": lambda face: np.pad(face, PAD, constant_values=round(face.mean())),
}


def training_faces(root: Path, count: int, seed: int) -> list[np.ndarray]:
    """``count`` training faces drawn with ``seed``, each uint8 grey of shape (48, 48)."""
    folder, archive = root / "FER2013Train", root / "FER2013Train.zip"
    if folder.is_dir():
        names = sorted(path.name for path in folder.glob("*.png"))
        chosen = random.Random(seed).sample(names, count)
        return [np.asarray(Image.open(folder / name)) for name in chosen]
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        chosen = random.Random(seed).sample(names, count)
        return [np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in chosen]


def as_photo(face: np.ndarray, padding: str, enlargement: float) -> np.ndarray:
    """A grey face padded and enlarged, uint8 RGB."""
    padded = Image.fromarray(PADDINGS[padding](face)).convert("RGB")
    side = round(padded.width * enlargement)
    return np.asarray(padded.resize((side, side), Image.Resampling.BICUBIC))


def detect_largest(detector: CenterFace, photo: np.ndarray) -> Detection | None:
    """The largest face found, in pixels of the photo."""
    return max(detector.detect(photo), key=lambda detection: detection.box.area, default=None)


def measure(faces: list[np.ndarray], padding: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) as x, y, width, height and landmarks (N, 5, 2) found, in sides of the frame."""
    detector, rng = CenterFace(threads=1), random.Random(seed)
    boxes, landmarks = [], []
    for face in faces:
        enlargement = rng.choice(ENLARGEMENTS)
        detection = detect_largest(detector, as_photo(face, padding, enlargement))
        if detection is None:
            continue
        box = detection.box
        unit, corner = FRAME * enlargement, PAD / FRAME
        boxes.append([box.x / unit - corner, box.y / unit - corner, box.width / unit, box.height / unit])
        landmarks.append(np.array(detection.landmarks) / unit - corner)
    return np.array(boxes), np.array(landmarks)


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, robust standard deviation (1.4826 median absolute deviations) and standard deviation."""
    median = float(np.median(values))
    return median, 1.4826 * float(np.median(np.abs(values - median))), float(values.std())


def report_geometry(boxes: np.ndarray, points: np.ndarray) -> Iterator[str]:
    """Lines that compare the ways to find the frame from a detection."""
    width, height = boxes[:, 2], boxes[:, 3]
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    eye_mouth = np.linalg.norm(eyes - mouth, axis=1)
    eye_eye = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    centroid = points.mean(axis=1)
    radius = np.sqrt(((points - centroid[:, None]) ** 2).sum(axis=2).mean(axis=1))
    sizes = {
        "box width": width,
        "box height": height,
        "root of box area": np.sqrt(width * height),
        "eye-mouth distance": eye_mouth,
        "eye-eye distance": eye_eye,
        "landmark radius": radius,
    }
    yield "frame side / size                median   robust std   std   (of the logarithm)"
    for name, size in sizes.items():
        median, robust, std = spread(-np.log(size))
        yield f"  {name:28s} {np.exp(median):8.3f}     {robust:8.3f} {std:8.3f}"
    centers = {
        "box centre": boxes[:, :2] + boxes[:, 2:] / 2,
        "middle of eyes and mouth": (eyes + mouth) / 2,
        "centroid of landmarks": centroid,
        "half-way between the first two": (boxes[:, :2] + boxes[:, 2:] / 2) / 2 + (eyes + mouth) / 4,
    }
    yield "frame centre - centre (sides)        median   robust std   std"
    for name, center in centers.items():
        for axis, values in zip("xy", (0.5 - center).T, strict=True):
            yield "  {:30s} {} {:8.3f}     {:8.3f} {:8.3f}".format(name, axis, *spread(values))
    angle = np.degrees(np.arctan2(*(points[:, 1] - points[:, 0]).T[::-1]))
    yield "in-plane rotation (degrees)   {:8.2f}     {:8.2f} {:8.2f}".format(*spread(angle))
    yield f"eye-mouth distance / box height: {np.median(eye_mouth / height):.3f} (smaller on uncut photos)"
    scale, shift = spread(-np.log(eye_mouth))[0], spread(0.5 - ((eyes + mouth) / 2)[:, 1])[0]
    yield f"constants: scale = {np.exp(scale):.3f}, shift_y = {shift:.4f} (shift_x = 0 by symmetry)"


def report_edges(faces: list[np.ndarray], strip: int = 7) -> Iterator[str]:
    """Lines that tell which filling comes closest to the truth when a strip of one side is missing."""
    errors: dict[str, list[float]] = {name: [] for name in ("repeat edge", "reflect", "mean grey", "black")}
    for face in faces:
        for turns in range(4):
            whole = np.rot90(face, turns).astype(float)
            truth, rest, pad = whole[:strip], whole[strip:], ((strip, 0), (0, 0))
            fillings = {
                "repeat edge": np.pad(rest, pad, mode="edge"),
                "reflect": np.pad(rest, pad, mode="reflect"),
                "mean grey": np.pad(rest, pad, constant_values=rest.mean()),
                "black": np.pad(rest, pad),
            }
            for name, filled in fillings.items():
                errors[name].append(float(np.abs(filled[:strip] - truth).mean()))
    yield f"a missing strip of {strip} of {FRAME} pixels: mean absolute error in grey levels"
    for name, values in errors.items():
        yield f"  {name:12s} {np.mean(values):6.1f}"


def framings(photo: np.ndarray, face: Detection, geometry: CropGeometry) -> dict[str, np.ndarray]:
    """A face of a photo cut out in several ways."""
    left, top, right, bottom = face.box.pixels
    return {
        "by the landmarks (the crop contract)": crop_face(photo, face, geometry),
        **{
            f"{factor:g} x the square": crop_face(photo, only_box(face, factor), geometry)
            for factor in (0.8, 1, 1.3, 1.6)
        },
        "the box itself": photo[top:bottom, left:right],
    }


def only_box(face: Detection, factor: float) -> Detection:
    """The face without its landmarks, its box grown about its centre."""
    (x, y), width, height = face.box.center, factor * face.box.width, factor * face.box.height
    return Detection(Box(x - width / 2, y - height / 2, width, height), face.score)


def report_accuracy(root: Path, model: str) -> Iterator[str]:
    """Lines that tell how often a model is right about validation faces cut out in several ways."""
    dataset, detector = open_dataset("ferplus", root, split="valid"), CenterFace(threads=1)
    recognizer, right = Recognizer(model, detector="none", threads=1), Counter[str]()
    found = 0
    for sample in dataset.samples:
        crop = dataset.read(sample)
        photo = as_photo(crop[..., 0], "mean grey", PHOTO)
        face = detect_largest(detector, photo)
        if face is None:
            continue
        found += 1
        crops = {"the data set's own": crop, **framings(photo, face, recognizer.meta.input.crop)}
        for name, prediction in zip(crops, recognizer.classify(list(crops.values())), strict=True):
            right[name] += prediction.expression == dataset.labels.expressions[sample.label]
    yield f"{model} on FERPlus validation ({dataset.protocol}), {found:,} of {len(dataset):,} faces found"
    yield from (f"  {name:38s} {count / found:7.2%}" for name, count in right.items())


def main() -> None:
    """Prints the detection rate of each padding, then the geometry under the best one; or accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, required=True, help="folder that holds FER2013Train.zip or FER2013Train/"
    )
    parser.add_argument("--count", type=positive_int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accuracy", action="store_true", help="of --model on validation faces")
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    if args.accuracy:
        print(*report_accuracy(args.root, args.model), sep="\n")
        return
    faces = training_faces(args.root, args.count, args.seed)
    print(f"{len(faces)} FERPlus training faces, seed {args.seed}")
    measured = {padding: measure(faces, padding, args.seed) for padding in PADDINGS}
    for padding, (boxes, _) in measured.items():
        print(f"  padded with {padding:10s} found {len(boxes) / len(faces):6.1%}")
    best = max(measured, key=lambda padding: len(measured[padding][0]))
    print(f"padding: {best}")
    print(*report_geometry(*measured[best]), *report_edges(faces), sep="\n")


if __name__ == "__main__":
    run_script(main)

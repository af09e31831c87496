"""Drawn faces: a data set that needs no download, for smoke runs and tests. Not a benchmark of anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from crossfer.data.sample import Dataset, Sample
from crossfer.labels import FERPLUS

SIDE = 96


@dataclass(frozen=True)
class Sketch:
    """How an expression is drawn.

    Attributes:
        mouth: bend of the mouth's line, > 0 for corners up.
        opening: height of the open mouth, as a fraction of its width.
        brows: tilt, > 0 for inner ends up.
        eyes: height of the eyes against the neutral face.
        skew: one mouth corner above the other.
    """

    mouth: float = 0.0
    opening: float = 0.0
    brows: float = 0.0
    eyes: float = 1.0
    skew: float = 0.0


SKETCHES = {
    "neutral": Sketch(),
    "happiness": Sketch(mouth=0.5),
    "surprise": Sketch(opening=0.9, eyes=1.5),
    "sadness": Sketch(mouth=-0.5, brows=0.5),
    "anger": Sketch(mouth=-0.2, brows=-0.6, eyes=0.8),
    "disgust": Sketch(mouth=-0.5, brows=-0.3, eyes=0.5),
    "fear": Sketch(opening=0.4, brows=0.6, eyes=1.4),
    "contempt": Sketch(skew=0.35),
}


def load_synthetic(*, split: str = "train", samples: int = 512) -> Dataset:
    """Lists drawn faces of all eight expressions in turn, with votes that lean to the drawn one.

    Args:
        split: ``"train"``, ``"valid"`` or ``"test"``; each draws other faces.
        samples: how many.
    """
    seed = [0, {"train": 0, "valid": 1, "test": 2}[split]]
    listed = tuple(
        Sample(f"synthetic/{split}/{i:06d}", label := i % len(FERPLUS), _votes(label, [*seed, i]), split)
        for i in range(samples)
    )
    return Dataset("synthetic", "drawn", FERPLUS, listed, partial(_read, seed=seed))


def _votes(label: int, seed: list[int]) -> tuple[float, ...]:
    votes = np.full(len(FERPLUS), 0.05 / (len(FERPLUS) - 1))
    votes[label] = 0.95
    sharpness = np.random.default_rng([*seed, 1]).uniform(0.8, 1.0)
    votes = sharpness * votes + (1 - sharpness) / len(FERPLUS)
    return tuple(float(v) for v in votes)


def _read(sample: Sample, seed: list[int]) -> np.ndarray:
    index = int(sample.path.rsplit("/", 1)[-1])
    rng = np.random.default_rng([*seed, index])
    return draw_face(SKETCHES[FERPLUS.expressions[sample.label]], rng)


def draw_face(sketch: Sketch, rng: np.random.Generator) -> np.ndarray:
    """One face with random skin, place, size and noise: uint8 RGB, (96, 96, 3)."""
    image = Image.new("L", (SIDE, SIDE), int(rng.integers(30, 110)))
    pen = ImageDraw.Draw(image)
    skin, ink = int(rng.integers(140, 230)), int(rng.integers(10, 60))
    cx, cy = SIDE / 2 + rng.normal(0, 2, 2)
    size = SIDE * rng.uniform(0.40, 0.46)
    pen.ellipse([cx - 0.85 * size, cy - size, cx + 0.85 * size, cy + size], fill=skin)
    for side in (-1, 1):
        _draw_eye(pen, (cx + side * 0.36 * size, cy - 0.22 * size), size, sketch, side=side, ink=ink)
    _draw_mouth(pen, (cx, cy + 0.48 * size), size, sketch, ink=ink)
    noisy = np.asarray(image, np.float32) + rng.normal(0, 6, (SIDE, SIDE))
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _draw_eye(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], size: float, sketch: Sketch, *, side: int, ink: int
) -> None:
    x, y = at
    height = 0.09 * size * sketch.eyes
    pen.ellipse([x - 0.14 * size, y - height, x + 0.14 * size, y + height], fill=ink)
    brow, tilt = y - 0.28 * size, 0.16 * size * sketch.brows
    inner, outer = (x - side * 0.2 * size, brow - tilt), (x + side * 0.2 * size, brow + tilt)
    pen.line([inner, outer], fill=ink, width=3)


def _draw_mouth(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], size: float, sketch: Sketch, *, ink: int
) -> None:
    x, y = at
    half = 0.36 * size
    if sketch.opening:
        pen.ellipse(
            [x - 0.6 * half, y - half * sketch.opening, x + 0.6 * half, y + half * sketch.opening], fill=ink
        )
        return
    along = np.linspace(-1, 1, 13)
    bend = half * sketch.mouth * (along**2 - 0.5)
    slope = half * sketch.skew * np.maximum(along, 0)
    pen.line(
        [(x + half * a, y - b - s) for a, b, s in zip(along, bend, slope, strict=True)], fill=ink, width=4
    )

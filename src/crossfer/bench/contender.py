"""The models that are measured, and scoring one face or many with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.bench.photo import FACE_SIDE
from crossfer.runtime.bundle import BundleMeta, read_bundle
from crossfer.runtime.preprocess import preprocess


@dataclass(frozen=True)
class Contender:
    """A model that takes part.

    Attributes:
        label: what the rows call it: as it was named, a file without its folders; numbered if that occurs
            twice.
        source: embedded name or path.
        name: its own.
        sha256: of the file, hexadecimal.
        file_bytes: size of the file.
        size: side of its input in pixels.
        color: ``"gray"`` or ``"rgb"``.
    """

    label: str
    source: str
    name: str
    sha256: str
    file_bytes: int
    size: int
    color: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the path."""
        return {key: value for key, value in asdict(self).items() if key != "source"}


def read_contenders(models: Sequence[str]) -> list[tuple[Contender, BundleMeta]]:
    """The models of these names or paths; one that is named twice is measured twice, which shows the noise.

    Raises:
        BundleError: if one cannot be used; the message says which and why.
    """
    labels: list[str] = []
    read = []
    for source in models:
        bundle = read_bundle(source, threads=1)
        name = Path(source).name
        numbered = (f"{name} ({number})" for number in count(2))
        labels.append(next(label for label in chain([name], numbered) if label not in labels))
        meta = bundle.meta
        size, contract = len(bundle.content), meta.input
        contender = Contender(
            labels[-1], source, meta.name, bundle.sha256, size, contract.size, contract.color
        )
        read.append((contender, meta))
    return read


def scorer(model: str, threads: int) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """What takes faces, uint8 RGB, to logits (B, K), pre-processing included, on so many threads."""
    bundle = read_bundle(model, threads=threads)
    return lambda faces: bundle.session.run(preprocess(faces, bundle.meta.input))[0]


def score_once(model: str, batch: int) -> None:
    """Loads a model and scores grey faces once: what a fresh process does to have its memory measured."""
    scorer(model, 1)([np.full((FACE_SIDE, FACE_SIDE, 3), 128, np.uint8)] * batch)

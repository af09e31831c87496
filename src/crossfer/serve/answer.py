"""What a client gets for an image: faces as ``crossfer predict`` gives them, and evidence on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from crossfer.runtime.align import CropGeometry
from crossfer.runtime.annotate import seen_region
from crossfer.runtime.bundle import BundleMeta
from crossfer.runtime.decision import Decision
from crossfer.serve.problems import Problem
from crossfer.types import Face

FEW = 4  # faces whose text, evidence included, takes less than half a millisecond to write
Text = TypeVar("Text")


@dataclass(frozen=True)
class AnswerOptions:
    """What a client wants to know of each face.

    Attributes:
        decision: prediction set and abstention.
        evidence: whether to give the evidence maps.
        top_k: keep only that many probabilities; None keeps all.
    """

    decision: Decision
    evidence: bool = False
    top_k: int | None = None


@dataclass(frozen=True)
class Answer:
    """The faces of one image.

    Attributes:
        width: of the upright image in pixels.
        height: of the upright image in pixels.
        faces: largest first.
        left_out: smaller faces that were found but not recognised.
    """

    width: int
    height: int
    faces: Sequence[Face]
    left_out: int = 0

    def to_dict(self, options: AnswerOptions, meta: BundleMeta) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "faces": [_face(face, options, meta) for face in self.faces],
            "faces_left_out": self.left_out,
            "error": None,
        }


async def write(answers: Sequence[object], text: Callable[[], Text]) -> Text:
    """What ``text`` makes of some answers and errors; off the event loop where it may take a while."""
    faces = sum(len(one.faces) for one in answers if isinstance(one, Answer))
    return text() if faces <= FEW else await asyncio.to_thread(text)


def values_of(found: Answer | Problem, options: AnswerOptions, meta: BundleMeta) -> dict[str, Any]:
    """Plain values for JSON, with the same keys for an image that could not be used."""
    if isinstance(found, Answer):
        return found.to_dict(options, meta)
    return {"width": None, "height": None, "faces": [], "faces_left_out": 0, "error": found.to_dict()}


def _face(face: Face, options: AnswerOptions, meta: BundleMeta) -> dict[str, Any]:
    decided = replace(face, prediction=options.decision(face.prediction))
    values = decided.to_dict(options.top_k)
    if options.evidence:
        values["evidence"] = _evidence(decided, meta.input.crop)
    return values


def _evidence(face: Face, crop: CropGeometry) -> dict[str, Any]:
    """Where the model looked, and each expression's cells there, which sum to its uncalibrated logit."""
    region = dict(zip(("x", "y", "width", "height"), seen_region(face, crop), strict=True))
    cells = np.round(face.prediction.evidence.astype(np.float64), 4)
    labels = list(face.prediction.probabilities)
    return {"region": region, "cells": dict(zip(labels, cells.tolist(), strict=True))}

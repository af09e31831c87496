"""What recognition gives: frozen values with plain-Python forms for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from crossfer.labels import canonical

UNCERTAIN = "uncertain"


class FrozenDict(dict[str, float]):
    """A dictionary that does not change, and like others can be pickled, copied and written as JSON."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a result does not change; take dict(...) of it")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, float]]]:
        return FrozenDict, (dict(self),)


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle in pixels of the upright image; origin top left, x right, y down."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom as whole numbers, for ``image[top:bottom, left:right]``.

        Rounded outwards, so that the whole face is in them; at least one pixel a side, none of them negative.
        """
        # Sums of coordinates miss a whole number by their last bits, which are not worth a pixel.
        left, top = (max(0, math.floor(round(start, 3))) for start in (self.x, self.y))
        right, bottom = (math.ceil(round(end, 3)) for end in (self.x + self.width, self.y + self.height))
        return left, top, max(left + 1, right), max(top + 1, bottom)

    def to_dict(self) -> dict[str, float]:
        """``{"x", "y", "width", "height"}``, rounded to a hundredth of a pixel."""
        return {k: round(float(getattr(self, k)), 2) for k in ("x", "y", "width", "height")}


@dataclass(frozen=True)
class Prediction:
    """The expression of one face.

    Attributes:
        probabilities: calibrated probability of each expression, in the model's class order; they sum to 1.
        logits: (K,) float32, uncalibrated scores in the same order; read-only where a recogniser gave them.
        evidence: (K, G, G) float32, read-only likewise; rows run down and columns right over the face crop;
            each class's cells sum to its uncalibrated logit.
        prediction_set: the expressions that hold the true one with the coverage asked for, likeliest first,
            never empty; None where no coverage was asked for.
        abstained: whether the model is too unsure to answer; None where abstention was not asked for.
    """

    probabilities: Mapping[str, float] = field(hash=False)
    logits: np.ndarray = field(repr=False, compare=False)
    evidence: np.ndarray = field(repr=False, compare=False)
    prediction_set: tuple[str, ...] | None = None
    abstained: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", FrozenDict(self.probabilities))

    @property
    def expression(self) -> str:
        """The most probable expression."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of that expression, in 0..1."""
        return self.probabilities[self.expression]

    @property
    def answer(self) -> str:
        """The most probable expression, or ``"uncertain"`` where the model abstained."""
        return UNCERTAIN if self.abstained else self.expression

    def evidence_for(self, expression: str) -> np.ndarray:
        """Evidence for an expression beyond the mean of all classes, (G, G).

        Softmax ignores what all classes share, so only this decides.

        Args:
            expression: as it is written in the probabilities, or in a common spelling (``happy``).

        Raises:
            ValueError: if the model does not know the expression.
        """
        folded = {canonical(name): name for name in self.probabilities}
        name = expression if expression in self.probabilities else folded.get(canonical(str(expression)))
        if name is None:
            raise ValueError(f"expected one of {', '.join(self.probabilities)}, got {expression!r}")
        return self.evidence[list(self.probabilities).index(name)] - self.evidence.mean(axis=0)

    def top(self, k: int) -> list[tuple[str, float]]:
        """The ``k`` most probable expressions with their probabilities, best first.

        Raises:
            ValueError: if ``k`` is no integer of at least 1.
        """
        if not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"expected an integer of at least 1, how many expressions to give, got {k!r}")
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """``{"expression", "confidence", "probabilities"}``; ``top_k`` keeps only that many probabilities.

        ``"prediction_set"`` and ``"answer"`` are there where a coverage or abstention was asked for.

        Raises:
            ValueError: if ``top_k`` is no integer of at least 1; None keeps all.
        """
        kept = self.probabilities.items() if top_k is None else self.top(top_k)
        return {
            "expression": self.expression,
            "confidence": round(self.confidence, 6),
            "probabilities": {name: round(p, 6) for name, p in kept},
            **({} if self.prediction_set is None else {"prediction_set": list(self.prediction_set)}),
            **({} if self.abstained is None else {"answer": self.answer}),
        }


@dataclass(frozen=True)
class Face:
    """One face found in an image.

    Attributes:
        box: where the detector saw it (for an image that is itself a face crop: the whole image).
        landmarks: five points (x, y) in pixels: right eye, left eye (the person's own), nose tip, right and
            left mouth corner, so that x grows from the first to the second; empty when no detector ran, or
            one that knows none.
        detection_score: the detector's score in 0..1; None when no detector ran.
        prediction: the recognised expression.
    """

    box: Box
    landmarks: tuple[tuple[float, float], ...]
    detection_score: float | None
    prediction: Prediction

    @property
    def expression(self) -> str:
        """The most probable expression."""
        return self.prediction.expression

    @property
    def confidence(self) -> float:
        """Its probability in 0..1."""
        return self.prediction.confidence

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The calibrated probability of each expression, in the model's class order."""
        return self.prediction.probabilities

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """The face as plain values, as ``crossfer predict --format json`` writes it.

        Args:
            top_k: keep only that many probabilities, at least 1; None keeps all.
        """
        return {
            "box": self.box.to_dict(),
            "detection_score": None if self.detection_score is None else round(self.detection_score, 4),
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            **self.prediction.to_dict(top_k),
        }

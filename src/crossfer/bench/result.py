"""What was measured, with what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from crossfer.bench.contender import Contender
from crossfer.bench.machine import Machine
from crossfer.bench.photo import Photos
from crossfer.bench.timing import LEAST_ROUNDS, Spread, paired_ratio
from crossfer.stored import to_plain

Unit = Literal["faces/s", "ms", "MB"]
FORMAT = 1


@dataclass(frozen=True)
class Case:
    """One thing that is measured; None where something does not bear on it.

    Attributes:
        what: in words.
        model: label of the model.
        threads: of model and detector.
        batch: faces that go through the model together.
        size: of the photo, width and height in pixels.
    """

    what: str
    model: str | None = None
    threads: int | None = None
    batch: int | None = None
    size: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is None is left out."""
        return {key: value for key, value in to_plain(self).items() if value is not None}


@dataclass(frozen=True)
class Section:
    """Things that were measured in the same rounds.

    Attributes:
        name: ``faces``, ``photo``, ``start`` or ``memory``.
        unit: of the samples; of a rate, more is better, of time and memory less.
        samples: of each case, one a round, above 0.
    """

    name: str
    unit: Unit
    samples: Mapping[Case, tuple[float, ...]] = field(repr=False)

    @property
    def rounds(self) -> int:
        """How many there were."""
        return max((len(values) for values in self.samples.values()), default=0)

    def to_dict(self, first: str) -> dict[str, Any]:
        """Plain values for JSON: of each case median, quartiles, samples, and ratios to others.

        Args:
            first: label of the model that others are compared with.
        """
        rows = []
        for case, samples in self.samples.items():
            spread = Spread.of(samples)
            figures = {"median": spread.median, "quartiles": [spread.lower, spread.upper]}
            rows.append(case.to_dict() | figures | self._ratios(case, first) | {"samples": list(samples)})
        return {"unit": self.unit, "rounds": self.rounds, "rows": rows}

    def _ratios(self, case: Case, first: str) -> dict[str, Any]:
        """How many times as fast as one face at a time, as one thread, as the first model."""
        others = {
            "to_batch_1": replace(case, batch=1),
            "to_one_thread": replace(case, threads=1),
            "to_first": replace(case, model=first),
        }
        return {
            name: self._ratio(case, other)
            for name, other in others.items()
            if other != case and other in self.samples and self.rounds >= LEAST_ROUNDS
        }

    def _ratio(self, case: Case, other: Case) -> dict[str, float]:
        pair = (self.samples[case], self.samples[other])
        return to_plain(paired_ratio(*(reversed(pair) if self.unit == "ms" else pair)))


@dataclass(frozen=True)
class BenchResult:
    """Everything that one run measured.

    Attributes:
        machine: that it ran on.
        contenders: the models, the one that others are compared with first.
        photos: the picture.
        sections: what was measured, in order.
        quick: fewer things in fewer rounds.
        others: share (0..1) of the processors that others took meanwhile; None where the system does not
            tell.
    """

    machine: Machine
    contenders: tuple[Contender, ...]
    photos: Photos
    sections: tuple[Section, ...]
    quick: bool
    others: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``crossfer.bench.tables`` makes tables of them."""
        first = self.contenders[0].label
        return {
            "format": FORMAT,
            "quick": self.quick,
            "others": self.others,
            "machine": self.machine.to_dict(),
            "models": [contender.to_dict() for contender in self.contenders],
            "photo": self.photos.to_dict(),
            "measured": {section.name: section.to_dict(first) for section in self.sections},
        }

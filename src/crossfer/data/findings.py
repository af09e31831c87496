"""What a check of a data set found, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from crossfer.stored import to_plain

Severity = Literal["fatal", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        severity: ``"fatal"`` if numbers made with this copy cannot be trusted, ``"warning"`` if they need a
            word beside them.
        kind: a word for programs, such as ``"unreadable"``.
        message: what was expected, what was found, and what to do.
        examples: a few of the places concerned.
    """

    severity: Severity
    kind: str
    message: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitCount:
    """The images of a split.

    Attributes:
        split: which.
        images: how many lie there.
        labelled: how many of them the protocol keeps.
        published: how many it should keep; empty where nothing is published, several where copies differ.
        per_class: those kept, by class.
        published_per_class: the same as published, or None.
        repeats: how many of the images repeat another of the split pixel by pixel.
        near_repeats: the same with those that are nearly the same or mirrored.
    """

    split: str
    images: int
    labelled: int
    published: tuple[int, ...]
    per_class: tuple[int, ...]
    published_per_class: tuple[int, ...] | None
    repeats: int
    near_repeats: int


@dataclass(frozen=True)
class Overlap:
    """The images of one split that occur in another.

    Attributes:
        split: where they lie.
        other: where they occur as well.
        identical: how many of them occur there pixel by pixel.
        near: how many occur there pixel by pixel, nearly, or mirrored.
    """

    split: str
    other: str
    identical: int
    near: int


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are the same.

    Attributes:
        images: ``split/name`` of each.
        identical: whether all are equal in every pixel; else some are nearly the same or mirrored.
    """

    images: tuple[str, ...]
    identical: bool


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check.

    Attributes:
        data: name of the data set.
        root: where it lies.
        protocol: how labels were made and which images were kept.
        labels: expressions in class order.
        near: whether nearly identical images were sought too.
        splits: one entry for each part.
        overlaps: one entry for each ordered pair of parts.
        findings: worst first.
        groups: all groups of duplicates.
    """

    data: str
    root: str
    protocol: str
    labels: tuple[str, ...]
    near: bool
    splits: tuple[SplitCount, ...]
    overlaps: tuple[Overlap, ...]
    findings: tuple[Finding, ...]
    groups: tuple[DuplicateGroup, ...]

    @property
    def fatal(self) -> bool:
        """Whether something was found with which no number should be made."""
        return any(finding.severity == "fatal" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``crossfer data check --format json`` writes them."""
        return {
            "data": self.data,
            "root": self.root,
            "protocol": self.protocol,
            "labels": list(self.labels),
            "fatal": self.fatal,
            "splits": {count.split: self._count_values(count) for count in self.splits},
            "overlaps": [self._overlap_values(overlap) for overlap in self.overlaps],
            "findings": to_plain(self.findings),
            "duplicates": to_plain(self.groups),
        }

    def _count_values(self, count: SplitCount) -> dict[str, Any]:
        published = count.published_per_class
        return {
            "images": count.images,
            "labelled": count.labelled,
            "published": list(count.published),
            "per_class": dict(zip(self.labels, count.per_class, strict=True)),
            "published_per_class": published and dict(zip(self.labels, published, strict=True)),
            "repeats": count.repeats,
            "near_repeats": count.near_repeats if self.near else None,
        }

    def _overlap_values(self, overlap: Overlap) -> dict[str, Any]:
        return to_plain(overlap) | {"near": overlap.near if self.near else None}

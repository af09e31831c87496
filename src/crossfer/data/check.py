"""Whether a copy of a data set is whole, labelled as published, and free of leaks between its splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from crossfer.data.duplicates import TABLES, find_near_pairs, group_duplicates, members
from crossfer.data.findings import CheckReport, DuplicateGroup, Finding, Overlap, Severity, SplitCount
from crossfer.data.fingerprint import Fingerprints, take_fingerprints
from crossfer.data.names import DatasetName
from crossfer.data.published import Published, published_counts
from crossfer.data.sample import NO_LABEL, Dataset, Faults, ListingOptions
from crossfer.data.source import SOURCES, splits_of

EXAMPLES = 5
ORDER: tuple[Severity, ...] = ("fatal", "warning")


@dataclass(frozen=True)
class _Part:
    """A split as listed, where its images lie among those of all, and what was wrong with the listing."""

    dataset: Dataset
    labels: np.ndarray
    rows: slice
    faults: Faults
    split: str

    def per_class(self) -> tuple[int, ...]:
        kept = self.labels[self.labels != NO_LABEL]
        return tuple(np.bincount(kept, minlength=len(self.dataset.labels)).tolist())


@dataclass(frozen=True)
class Progress:
    """Who is told how a check gets on.

    Attributes:
        total: called with the number of images once they are listed.
        read: called with the number of images read since the last call.
        compared: called with the share done of the search for nearly identical images, in 0..1.
    """

    total: Callable[[int], None] = lambda _: None
    read: Callable[[int], None] = lambda _: None
    compared: Callable[[float], None] = lambda _: None


def check_dataset(
    name: DatasetName,
    root: Path,
    options: ListingOptions,
    *,
    near: bool = True,
    progress: Progress | None = None,
) -> CheckReport:
    """Lists every split of a data set, reads every image once, and holds both against what should be.

    Memory: about 600 bytes an image, whatever its size.

    Args:
        name: which data set.
        root: where it lies.
        options: protocol, label version and classes; its split does not matter.
        near: also look for images that are nearly the same, or mirrored.
        progress: who is told how it gets on.

    Raises:
        DataError: if the data is not in one of the set's layouts at all.
    """
    progress = progress or Progress()
    parts = list(_list_parts(name, root, options))
    datasets = [part.dataset for part in parts]
    progress.total(sum(map(len, datasets)))
    prints = take_fingerprints(datasets, progress=progress.read)
    pairs = _compare(prints, progress) if near else None
    same, alike = group_duplicates(prints), group_duplicates(prints, pairs)
    findings = [
        *_listing_findings(parts),
        *_unreadable_findings(prints),
        *_count_findings(parts),
        *_label_findings(parts, same),
        *_leak_findings(parts, alike if near else same, near=near),
        *_subject_findings(parts),
    ]
    return CheckReport(
        data=name,
        root=str(root),
        protocol=datasets[0].protocol,
        labels=datasets[0].labels.expressions,
        near=near,
        splits=tuple(_count(part, same[part.rows], alike[part.rows]) for part in parts),
        overlaps=tuple(_overlaps(parts, same, alike)),
        findings=tuple(sorted(findings, key=lambda finding: ORDER.index(finding.severity))),
        groups=tuple(_groups(parts, same, alike)),
    )


def _list_parts(name: DatasetName, root: Path, options: ListingOptions) -> Iterator[_Part]:
    start = 0
    for split in splits_of(name, root, options.classes):
        faults = Faults(skip=True)
        dataset = SOURCES[name].list(root, replace(options, split=split, every=True), faults)
        labels = np.fromiter((sample.label for sample in dataset.samples), np.int32, len(dataset))
        yield _Part(dataset, labels, slice(start, start + len(dataset)), faults, split)
        start += len(dataset)


def _compare(prints: Fingerprints, progress: Progress) -> np.ndarray:
    done = 0

    def step(tables: int) -> None:
        nonlocal done
        done += tables
        progress.compared(done / TABLES)

    return find_near_pairs(prints, progress=step)


# ---- numbers ----


def _count(part: _Part, same: np.ndarray, alike: np.ndarray) -> SplitCount:
    published = _published(part) or Published(())
    return SplitCount(
        split=part.split,
        images=len(part.dataset),
        labelled=int(np.sum(part.labels != NO_LABEL)),
        published=published.totals,
        per_class=part.per_class(),
        published_per_class=published.per_class,
        repeats=len(same) - len(np.unique(same)),
        near_repeats=len(alike) - len(np.unique(alike)),
    )


def _published(part: _Part) -> Published | None:
    return published_counts(part.dataset.name, part.dataset.protocol, part.split)


def _overlaps(parts: Sequence[_Part], same: np.ndarray, alike: np.ndarray) -> Iterator[Overlap]:
    for part, other in permutations(parts, 2):
        identical = int(np.isin(same[part.rows], same[other.rows]).sum())
        near = int(np.isin(alike[part.rows], alike[other.rows]).sum())
        yield Overlap(part.split, other.split, identical, near)


def _groups(parts: Sequence[_Part], same: np.ndarray, alike: np.ndarray) -> Iterator[DuplicateGroup]:
    for group in members(alike):
        images = tuple(_call(parts, int(index)) for index in group)
        yield DuplicateGroup(images, identical=len(set(same[group].tolist())) == 1)


def _call(parts: Sequence[_Part], index: int) -> str:
    """What to call the image of an index among all: ``split/name``."""
    for part in parts:
        if index < len(part.dataset):
            return f"{part.split}/{part.dataset.samples[index].name}"
        index -= len(part.dataset)
    raise IndexError(index)


# ---- findings ----

_FAULTS: dict[str, str] = {
    "missing": "images that the labels list are missing; the archive may be half unpacked: unpack it again",
    "mismatch": "images whose folder contradicts the label list; obtain the set again",
    "row": "rows or files that are not as the layout promises",
}


def _listing_findings(parts: Sequence[_Part]) -> Iterator[Finding]:
    for kind, text in _FAULTS.items():
        found = [message for part in parts for message, of in part.faults.found if of == kind]
        found = list(dict.fromkeys(found))  # a fault of a file that all splits share is met in each
        if found:
            yield Finding("fatal", kind, f"{len(found):,} {text}", _some(found))
    stray = [path for part in parts for path in part.faults.unlisted]
    if stray:
        yield Finding(
            "warning", "unlisted", f"{len(stray):,} images have no label; they are not used", _some(stray)
        )


def _unreadable_findings(prints: Fingerprints) -> Iterator[Finding]:
    if prints.unreadable:
        message = (
            f"{len(prints.unreadable):,} images cannot be read; obtain them again, or leave them out with "
            "--skip-bad"
        )
        yield Finding(
            "fatal", "unreadable", message, _some([str(error) for error in prints.unreadable.values()])
        )


def _count_findings(parts: Sequence[_Part]) -> Iterator[Finding]:
    for part in parts:
        found, published = part.per_class(), _published(part)
        if published is not None and found == published.per_class:
            continue
        wrong = None if published is None else _other_count(part, published)
        if wrong is not None:
            yield wrong
        names = part.dataset.labels.expressions
        empty = [name for name, count in zip(names, found, strict=True) if not count]
        if empty and (wrong is None or wrong.severity != "fatal"):
            message = f"{part.split}: no image of {', '.join(empty)}; nothing can be learnt or said of that"
            yield Finding("warning", "empty class", message)


def _other_count(part: _Part, published: Published) -> Finding | None:
    """How the counts of a split differ from those published; None if they do not, as far as these go."""
    names, found, wanted = part.dataset.labels.expressions, part.per_class(), published.per_class
    severity: Severity = "fatal" if published.firm else "warning"
    if wanted is not None and found != wanted and sorted(found) == sorted(wanted):
        return Finding("fatal", "label order", _other_order(part, names, found, wanted))
    if sum(found) not in published.totals:
        totals = " or ".join(f"{total:,}" for total in published.totals)
        message = (
            f"{part.split}: expected {totals} labelled images, found {sum(found):,}; "
            "this copy is not the published set"
        )
        return Finding(severity, "count", message)
    if wanted is not None and found != wanted:
        wrong = [
            f"{name} {count:,} instead of {want:,}"
            for name, count, want in zip(names, found, wanted, strict=True)
            if count != want
        ]
        message = f"{part.split}: as many images as published, but {', '.join(wrong)}"
        return Finding(severity, "class counts", message)
    return None


def _other_order(part: _Part, names: Sequence[str], found: Sequence[int], wanted: Sequence[int]) -> str:
    moved = [
        f"{name} has the count of {names[wanted.index(count)]}"
        for name, count, want in zip(names, found, wanted, strict=True)
        if count != want
    ]
    return (
        f"{part.split}: the class counts are those published, but in another order ({', '.join(moved)}); "
        "the label file follows another class order than the publishers'"
    )


def _label_findings(parts: Sequence[_Part], same: np.ndarray) -> Iterator[Finding]:
    labels = np.concatenate([part.labels for part in parts])
    torn = [
        group for group in members(same) if len(set(labels[group][labels[group] != NO_LABEL].tolist())) > 1
    ]
    if torn:
        examples = [", ".join(_labelled(parts, labels, int(i)) for i in group) for group in torn[:EXAMPLES]]
        images = sum(map(len, torn))
        message = f"{images:,} images in {len(torn):,} groups of identical ones are labelled differently"
        yield Finding("warning", "conflicting labels", message, _some(examples, len(torn)))


def _labelled(parts: Sequence[_Part], labels: np.ndarray, index: int) -> str:
    names = parts[0].dataset.labels.expressions
    label = int(labels[index])
    return f"{_call(parts, index)} ({'left out' if label == NO_LABEL else names[label]})"


def _leak_findings(parts: Sequence[_Part], groups: np.ndarray, *, near: bool) -> Iterator[Finding]:
    spans = {part.split: part.rows for part in parts}
    for split in ("test", "valid"):
        others = [other for other in ("train", "valid") if other in spans and other != split]
        if split not in spans or not others:
            continue
        elsewhere = np.isin(groups[spans[split]], np.concatenate([groups[spans[other]] for other in others]))
        if count := int(elsewhere.sum()):
            sought = "identical, nearly identical or mirrored" if near else "identical"
            rows = np.flatnonzero(elsewhere) + spans[split].start
            examples = [_call(parts, int(i)) for i in rows[:EXAMPLES]]
            message = (
                f"{split}: {count:,} of {len(elsewhere):,} images also occur in {' or '.join(others)} "
                f"({sought}); report accuracy with and without them"
            )
            yield Finding("warning", "leak", message, _some(examples, count))


def _subject_findings(parts: Sequence[_Part]) -> Iterator[Finding]:
    people = {
        part.split: {sample.subject for sample in part.dataset.samples if sample.subject is not None}
        for part in parts
    }
    for one, other in (("test", "train"), ("test", "valid"), ("valid", "train")):
        shared = sorted(people.get(one, set()) & people.get(other, set()))
        if shared:
            message = (
                f"{len(shared):,} subjects are in both {one} and {other}; the split is not "
                "subject-independent"
            )
            yield Finding("warning", "subjects", message, _some(shared))


def _some(lines: Sequence[str], total: int | None = None) -> tuple[str, ...]:
    more = (len(lines) if total is None else total) - min(len(lines), EXAMPLES)
    return (*lines[:EXAMPLES], *([f"and {more:,} more"] if more > 0 else []))

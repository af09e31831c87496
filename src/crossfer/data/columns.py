"""Samples kept as columns: a few bytes an image instead of an object, for sets of hundreds of thousands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import overload

import numpy as np

from crossfer.data.sample import Sample


def as_is(member: str) -> str:
    """The name of an image that is called by its path."""
    return member


class SampleColumns(Sequence[Sample]):
    """Samples of one split below one place, made as they are asked for.

    An image costs the letters of its path and 5 bytes (8 where there are more than 128 classes), and what
    votes, box and subject take if there are any.

    Args:
        where: the place; a sample's path is this, ``/`` and its member.
        members: paths of the images below it, as ``pack`` gives them.
        labels: class index of each.
        split: the split of all.
        votes: (N, K) shares of votes, or None.
        boxes: (N, 4) face boxes, or None.
        subjects: identity of each person, None where not known; or None.
        name_of: from a member to ``Sample.name``.
    """

    def __init__(
        self,
        where: str,
        members: tuple[np.ndarray, np.ndarray],
        labels: Sequence[int] | np.ndarray,
        split: str,
        *,
        votes: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        subjects: Sequence[str | None] | None = None,
        name_of: Callable[[str], str] = as_is,
    ) -> None:
        self.where, self.split, self.name_of = where, split, name_of
        self.text, self.ends = members
        wide = np.asarray(labels, np.int32)
        self.labels = wide.astype(np.int8) if wide.max(initial=0) < 128 else wide
        self.votes = None if votes is None else np.asarray(votes, np.float32)
        self.boxes = None if boxes is None else np.asarray(boxes, np.int32)
        known = sorted({subject for subject in subjects or () if subject is not None})
        self._known: tuple[str | None, ...] = (*known, None)
        place = {subject: i for i, subject in enumerate(self._known)}
        self.subjects = None if subjects is None else np.array([place[s] for s in subjects], np.int32)
        self.rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels) if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        return self._sample(index % len(self) if self.rows is None else int(self.rows[index]))

    def _sample(self, row: int) -> Sample:
        member = unpack(self.text, self.ends, row)
        return Sample(
            path=f"{self.where}/{member}",
            label=int(self.labels[row]),
            votes=None if self.votes is None else tuple(self.votes[row].tolist()),
            split=self.split,
            subject=None if self.subjects is None else self._known[self.subjects[row]],
            name=self.name_of(member),
            box=None if self.boxes is None else tuple(self.boxes[row].tolist()),
        )

    def take(self, rows: Sequence[int] | np.ndarray, split: str | None = None) -> SampleColumns:
        """Some of the samples, in the order given; they share the columns.

        Args:
            rows: indices into this sequence.
            split: another split to put them in.
        """
        taken = copy(self)
        wanted = np.asarray(rows, np.uint32)
        taken.rows = wanted if self.rows is None else self.rows[wanted]
        taken.split = split or self.split
        return taken


def pack(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as one column of UTF-8 bytes, and where each ends in it: uint8 (B,), uint32 (N,)."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.uint64)
    if len(ends) and ends[-1] >= 2**32:
        raise ValueError(f"expected paths of less than 4 GiB in all, got {int(ends[-1]) >> 30} GiB")
    return np.frombuffer(b"".join(encoded), np.uint8), ends.astype(np.uint32)


def unpack(text: np.ndarray, ends: np.ndarray, row: int) -> str:
    """One of the texts that ``pack`` packed."""
    start = int(ends[row - 1]) if row else 0
    return text[start : int(ends[row])].tobytes().decode("utf-8", "surrogateescape")

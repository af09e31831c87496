"""What a data set is here: a label set, a sequence of samples, and a way to read their pixels. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from crossfer.data.names import LabelVersion, Protocol, Split
from crossfer.labels import LabelSet

NO_LABEL = -1  # the label of an image that its protocol leaves out, where all images are asked for


class DataError(ValueError):
    """A data set that is not as its layout promises; the message names the file and, in a table, the line."""


class BadSampleError(DataError):
    """A row or an image that cannot be used, and that ``skip_bad`` would have left out.

    Attributes:
        several: the message speaks of several.
    """

    several = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Attributes:
        path: where the image lies, for messages and results (for a zip: ``archive.zip/member``).
        label: class index in the data set's label set; ``NO_LABEL`` for an image that the protocol leaves
            out, in listings of every image alone.
        votes: share of the annotators' votes for each class, summing to 1; None where a set has no votes.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        subject: identity of the person, where the set knows it.
        name: what the set calls the image, the same wherever and in whichever layout it lies; split files
            use it.
        box: the face in the image file, (left, top, width, height) in its pixels, where the files show more
            than a face; ``read`` has cut it out already.
    """

    path: str
    label: int
    votes: tuple[float, ...] | None = None
    split: str = "test"
    subject: str | None = None
    name: str = ""
    box: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one split, listed at once and read one by one.

    Attributes:
        name: identifier, such as ``"ferplus"``.
        protocol: how labels were made and which images were kept, in words fit to stand beside a number.
        labels: the label set whose indices ``Sample.label`` uses.
        samples: the listed images; of a large set they take shape only as they are asked for.
        read: gives a sample's pixels as uint8 RGB, shape (H, W, 3); raises DataError if they cannot be read.
        skipped: one line for each image or row left out because ``skip_bad`` was asked for.
    """

    name: str
    protocol: str
    labels: LabelSet
    samples: Sequence[Sample]
    read: Callable[[Sample], np.ndarray]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"Dataset({self.name}, {self.protocol}, n={len(self)})"


@dataclass(frozen=True)
class ListingOptions:
    """What a data set is listed by.

    Attributes:
        split: the part, one that the set has.
        protocol: how FERPlus votes become labels.
        label_version: which FERPlus labels.
        classes: the classes of a folder or table.
        numbered: a table's labels may be numbers in the order of ``classes``.
        every: list images that the protocol leaves out too, with the label ``NO_LABEL``.
    """

    split: Split
    protocol: Protocol
    label_version: LabelVersion
    classes: LabelSet
    numbered: bool = False
    every: bool = False


class Fault(NamedTuple):
    """What is wrong with a row or image, in a line.

    Attributes:
        message: the line.
        kind: what it is about: ``"row"`` (or file) that is not as it should be, ``"missing"`` image,
            ``"mismatch"`` of two sources of one label.
    """

    message: str
    kind: Literal["row", "missing", "mismatch"]


@dataclass
class Faults:
    """What to do about bad rows and images while a data set is listed: stop, or go on and keep the messages.

    Attributes:
        skip: go on.
        found: the faults so far, in the order met.
        unlisted: images that lie there without a label; no fault, since no number depends on them.
    """

    skip: bool
    found: list[Fault] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def add(
        self, message: str, kind: Literal["row", "missing", "mismatch"] = "row", *, several: bool = False
    ) -> None:
        """Notes a fault, or ``several`` in one message.

        Raises:
            BadSampleError: with the message, unless faults are skipped.
        """
        if not self.skip:
            error = BadSampleError(message)
            error.several = several
            raise error
        self.found.append(Fault(message, kind))

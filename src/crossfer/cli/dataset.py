"""The data set that a command is pointed at, from its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from crossfer.data.sample import Dataset
    from crossfer.labels import LabelSet

Name = Literal["ferplus", "folder"]
Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Source:
    """Where a data set lies and how its labels are made.

    Attributes:
        data: name of the data set; ``"folder"`` is a folder per class.
        root: folder that holds it.
        protocol: how FERPlus votes become labels; None for the default.
        labels: version of the FERPlus labels; None for the default.
        skip_bad: leave out bad rows and images instead of stopping.
    """

    data: Name
    root: Path
    protocol: Literal["majority", "argmax"] | None = None
    labels: Literal["fer2013new", "label-csv"] | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.data == "folder" and (self.protocol or self.labels):
            raise ValueError("--protocol and --labels belong to --data ferplus; leave them out with folder")

    @property
    def framed(self) -> bool:
        """The images are face crops already."""
        return self.data != "folder"

    def open(self, split: Split, labels: LabelSet) -> Dataset:
        """One split; ``labels`` are the classes to expect in a folder."""
        from crossfer.data.ferplus import load_ferplus
        from crossfer.data.folder import load_folder

        if self.data == "folder":
            return load_folder(self.root, labels, split=split, skip_bad=self.skip_bad)
        return load_ferplus(
            self.root,
            split=split,
            protocol=self.protocol or "majority",
            labels=self.labels or "fer2013new",
            skip_bad=self.skip_bad,
        )

    def open_others(self, split: Split, labels: LabelSet) -> list[Dataset]:
        """The splits in which an image of ``split`` must not occur, as wide as training may use them.

        For test these are train and valid, for valid it is train; none for a folder, which has no splits.
        """
        others: list[Split] = {"train": [], "valid": ["train"], "test": ["train", "valid"]}[split]
        if self.data == "folder":
            return []
        wide = Source(self.data, self.root, "argmax", self.labels, self.skip_bad)
        return [wide.open(other, labels) for other in others]

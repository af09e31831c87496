"""The data set that a command is pointed at, from its options."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crossfer.cli.errors import UsageError, need_other
from crossfer.cli.output import remark
from crossfer.data.names import LABEL_VERSION, OWN, PROTOCOL, DatasetName, LabelVersion, Protocol, Split

if TYPE_CHECKING:
    from crossfer.data.sample import Dataset
    from crossfer.labels import LabelSet
    from crossfer.runtime.bundle import BundleMeta


def need_no_image(option: str, file: Path | None, *datasets: Dataset) -> None:
    """Refuse a file to write in whose place lies an image of the sets."""
    if file is not None and file.is_file():
        name = os.path.basename(os.path.realpath(file))
        paths = (sample.path for dataset in datasets for sample in dataset.samples)
        need_other(option, file, (path for path in paths if path.endswith(name)))


def need_own_classes(data: DatasetName, classes: str | None) -> None:
    """Refuse classes named for a set that has its own."""
    if classes is not None and data not in OWN:
        raise UsageError(f"--classes belongs to folder and table; {data} has classes of its own")


@dataclass(frozen=True)
class DatasetOptions:
    """Which data set is meant and how its labels are made; None stands for the default.

    Attributes:
        data: name of the data set.
        root: folder or zip that holds it; for a table the table.
        protocol: how FERPlus votes become labels.
        labels: version of the FERPlus labels.
        split_file: cuts valid out of train where the set has none.
        classes: name of the label set of a folder or table.
        skip_bad: leave out bad rows and images instead of stopping.
    """

    data: DatasetName
    root: Path
    protocol: Protocol | None = None
    labels: LabelVersion | None = None
    split_file: Path | None = None
    classes: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.data != "ferplus" and (self.protocol or self.labels):
            raise UsageError(
                f"--protocol and --labels belong to --data ferplus; leave them out with {self.data}"
            )
        need_own_classes(self.data, self.classes)

    def arguments(self) -> list[str]:
        """The options of a command that say the same."""
        given = {
            "--data": self.data,
            "--root": self.root,
            "--protocol": self.protocol,
            "--labels": self.labels,
            "--split-file": self.split_file,
            "--classes": self.classes,
        }
        words = [word for key, value in given.items() if value is not None for word in (key, str(value))]
        return [*words, "--skip-bad"] if self.skip_bad else words

    @property
    def crops(self) -> bool:
        """The images are face crops already."""
        return self.data not in OWN

    def parted(self, known: LabelSet) -> bool:
        """Whether the set has parts, by itself; one that has none gives its images under any name.

        Args:
            known: the classes of a folder or table unless ``classes`` names others; a folder ``test`` of one
                that has such a class is no part.
        """
        from crossfer.data.source import splits_of

        return splits_of(self.data, self.root, self._classes(known)) != ("train",)

    def warn_of_learnt(self, meta: BundleMeta) -> None:
        """Say on stderr that the images may be those that the model learnt from, where nothing tells."""
        learnt = self.data in OWN and meta.provenance.get("data") == self.data
        if not learnt or (self.split_file is None and self.parted(meta.labelset)):
            return
        if self.split_file is None:
            advice = "give --split-file with what its recipe named as data.split_file, else RUN/split.csv"
        elif (cut := _other_cut(meta, self.split_file)) is not None:
            advice = f"it was cut by the split file {cut}, and this is another: give that one"
        else:
            return
        remark(
            f"{meta.name} learnt from a {self.data} of images; if it was this one, most of "
            f"these are images that it knows: {advice}"
        )

    def open(self, split: Split, known: LabelSet, *, every: bool = False) -> Dataset:
        """One split.

        Args:
            split: which part.
            known: the classes of a folder or table unless ``classes`` names others.
            every: list images that the protocol leaves out too.
        """
        from crossfer.data.source import open_dataset

        return open_dataset(
            self.data,
            self.root,
            split=split,
            protocol=self.protocol or PROTOCOL,
            label_version=self.labels or LABEL_VERSION,
            classes=self._classes(known),
            numbered=self.classes is not None,
            split_file=self.split_file,
            skip_bad=self.skip_bad,
            every=every,
        )

    def open_others(self, split: Split, known: LabelSet) -> list[Dataset]:
        """The splits in which an image of ``split`` must not occur, every image of them.

        For test these are train and valid, for valid it is train, as far as the set has them; none for
        train, and none for a folder or table that is not parted.
        """
        from crossfer.data.source import splits_of
        from crossfer.data.splitfile import read_split_file

        earlier: dict[Split, tuple[Split, ...]] = {
            "train": (),
            "valid": ("train",),
            "test": ("train", "valid"),
        }
        own = {*splits_of(self.data, self.root, self._classes(known))}
        if self.split_file is not None:
            own |= read_split_file(self.split_file).splits
        if own == {"train"}:
            return []
        return [self.open(other, known, every=True) for other in earlier[split] if other in own]

    def _classes(self, known: LabelSet) -> LabelSet:
        from crossfer.data.source import classes_of

        return classes_of(self.data, self.root, self.classes) if self.classes else known


def _other_cut(meta: BundleMeta, split_file: Path) -> str | None:
    """The digest of the split file that a model learnt by, if it is not this one."""
    from crossfer.data.splitfile import read_split_file

    _, by_file, digest = str(meta.provenance.get("protocol", "")).partition("split file ")
    return digest if by_file and digest != read_split_file(split_file).digest else None

"""A split as a small text file that can be committed: which image of train belongs to train, valid or test.

It is CSV, with lines that begin with ``#`` before its header: the data set and the command that wrote it.
Images are called by ``Sample.name``, so the file holds for every copy of the set, wherever it lies::

    # crossfer split 1
    # data: rafdb
    # command: crossfer data split rafdb --valid 0.1 --seed 0 --duplicates near
    image,split
    train_00001.jpg,train

One that training cuts for itself says so in a further such line, ``# for: ...``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path

from crossfer.data.listing import csv_lines
from crossfer.data.names import SPLITS, Split
from crossfer.data.sample import DataError, Dataset, Faults
from crossfer.data.subset import take

FIRST_LINE = "# crossfer split 1"
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class SplitFile:
    """Which image belongs to which split.

    Attributes:
        data: name of the data set.
        command: what wrote it, without the places of that machine.
        split_of: from ``Sample.name`` to split.
        purpose: what it was written for, if not for the user.
    """

    data: str
    command: str
    split_of: Mapping[str, str]
    purpose: str = ""

    @cached_property
    def splits(self) -> frozenset[str]:
        """The splits that have an image."""
        return frozenset(self.split_of.values())

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits that tell two splits apart, whatever the order of their lines."""
        lines = sorted(f"{name},{split}\n" for name, split in self.split_of.items())
        return blake2b("".join(lines).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()

    def to_text(self) -> str:
        """The file's content, for names that it can hold: see ``crossfer.data.split.cut_split``."""
        page = io.StringIO()
        page.write(f"{FIRST_LINE}\n# data: {self.data}\n# command: {self.command}\n")
        if self.purpose:
            page.write(f"# for: {self.purpose}\n")
        csv.writer(page, lineterminator="\n").writerows([("image", "split"), *self.split_of.items()])
        return page.getvalue()


def read_split_file(path: Path) -> SplitFile:
    """Reads what ``SplitFile.to_text`` wrote.

    Raises:
        DataError: if it is no split file, or a line is not as it should be; the message names the line.
    """
    lines = _text(path).removesuffix("\n").split("\n")
    comments = list(takewhile(lambda line: line.startswith("#"), lines))
    if lines[:1] != [FIRST_LINE]:
        raise DataError(
            f"{path}, line 1: expected {FIRST_LINE!r}, found {(lines or [''])[0][:60]!r}; "
            "write one with 'crossfer data split'"
        )
    options = dict(line[2:].split(": ", 1) for line in comments[1:] if ": " in line)
    start = len(comments)
    if lines[start : start + 1] != ["image,split"]:
        raise DataError(f"{path}, line {start + 1}: expected the header image,split")
    split_of: dict[str, str] = {}
    for number, cells in csv_lines(lines[start + 1 :], str(path), start + 2):
        if len(cells) != 2 or cells[1] not in SPLITS:
            raise DataError(
                f"{path}, line {number}: expected an image and one of {', '.join(SPLITS)}, "
                f"found {','.join(cells)[:60]!r}"
            )
        if cells[0] in split_of:
            raise DataError(f"{path}, line {number}: lists {cells[0]} twice")
        split_of[cells[0]] = cells[1]
    return SplitFile(
        options.get("data", ""), options.get("command", ""), split_of, purpose=options.get("for", "")
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: expected a split file of at most {MAX_BYTES >> 20} MiB")
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected a split file in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise DataError(f"{path}: expected a split file, cannot read it ({error.strerror})") from error


def carve(train: Dataset, file: SplitFile, where: Path, split: Split, faults: Faults) -> Dataset:
    """The images of a train listing that a split file puts in one split.

    Args:
        train: all images that the file parts; it may list others that the protocol leaves out.
        file: the split file.
        where: its place.
        split: which part.
        faults: what to do about images that the file does not know.

    Raises:
        DataError: if it knows some of the images not, or none of its images is there.
    """
    names = [sample.name for sample in train.samples]
    unknown = [name for name in names if name not in file.split_of]
    if unknown and not faults.skip:
        advice = "it was cut from another copy: cut it anew with 'crossfer data split'"
        if file.purpose:
            advice = (
                "it was cut for a run from images other than these: put the data back as it was, or train "
                "into another folder"
            )
        faults.add(
            f"{where}: {len(unknown):,} of {len(names):,} images of train are not in the split file, "
            f"first {unknown[0]}; {advice}",
            several=True,
        )
    for name in unknown:
        faults.add(f"{name}: not in the split file")
    rows: Sequence[int] = [i for i, name in enumerate(names) if file.split_of.get(name) == split]
    if not rows:
        raise DataError(f"{where}: the split file puts none of the images here into {split}")
    return replace(
        train,
        protocol=f"{train.protocol}, split file {file.digest}",
        samples=take(train.samples, rows, split),
    )

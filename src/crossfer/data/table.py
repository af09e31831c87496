"""Any images listed in a CSV or Parquet file: a path and a label a row, or a path and a vote for each class.

Columns are found by name, without regard to case:

* the image: ``path``, ``file``, ``filename``, ``file_name``, ``image`` or ``image_path``, relative to the
  table;
* the class, by name (``Happy`` is happiness): ``label``, ``expression``, ``emotion`` or ``class``;
* or, instead or besides, votes: a column named after every class, any numbers from 0 up; beside a label
  column, columns of some classes alone are no votes;
* ``split`` and ``subject`` (or ``subject_id``, ``identity``, ``person``), where there are any.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.data.columns import SampleColumns, pack
from crossfer.data.folder import SPLIT_FOLDERS
from crossfer.data.listing import note_twins, read_from
from crossfer.data.names import NAME_OWN
from crossfer.data.sample import DataError, Dataset, Faults, ListingOptions
from crossfer.data.table_rows import Row, Table, open_table, require_usable
from crossfer.data.tree import Tree, list_some
from crossfer.labels import SYNONYMS, LabelSet, canonical

PATHS = ("path", "file", "filename", "file_name", "image", "image_path")
LABELS = ("label", "expression", "emotion", "class")
SPLITS = ("split", "usage")
SUBJECTS = ("subject", "subject_id", "identity", "person")
NO_CLASS = ("unknown", "nf")  # columns of votes of FER+ that are for no class
SPLIT_NAMES = {name: split for split, names in SPLIT_FOLDERS.items() for name in names} | {
    "publictest": "valid",
    "privatetest": "test",
}

_WHOLE = re.compile(r"(-?\d+)(\.0*)?")  # pandas writes 3.0 where a column of whole numbers has a gap
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)")


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table hold what; ``votes`` are one a class, or none."""

    path: str
    label: str | None
    votes: tuple[str, ...]
    split: str | None
    subject: str | None

    def describe(self) -> str:
        """How labels were made, fit to stand beside a number."""
        votes = ", ".join(self.votes)
        if not self.label:
            return f"most votes in columns {votes}"
        return f"labels in column {self.label}" + (f", votes in columns {votes}" if votes else "")


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    member: str
    label: int
    votes: tuple[float, ...] | None
    subject: str | None


def list_table(root: Path, options: ListingOptions, faults: Faults) -> Dataset:
    """Lists the images of a table without reading one.

    Args:
        root: the ``.csv`` or ``.parquet`` file; or a folder, or a zip, with one such file at its top.
        options: the classes to expect, which rows to take (where the table has no column for it, the split
            is only what to call all images), and whether a label may be a number too, counted from 0 in the
            order of the classes; where a class has a number for its name, labels are names alone.
        faults: what to do about bad rows and missing images.

    Returns:
        The images in the table's order; ``Sample.votes`` are normalised.

    Raises:
        DataError: if there is no such table, a column is missing, or it has no image of the split.
    """
    labels, split = options.classes, options.split
    table = open_table(root, faults)
    tree, where = table.tree, table.where
    columns = _columns(table.header, labels, where)
    entries = list(_entries(table, columns, options, faults))
    note_twins(where, [(entry.number, entry.member) for entry in entries], faults, unit=table.unit)
    entries = list({entry.member: entry for entry in reversed(entries)}.values())[::-1]
    there = [entry for entry in entries if tree.has(entry.member)]
    _note_missing(table, entries, there, faults)
    samples = _samples(tree, there, split)
    if not len(samples):
        why = f" that can be used; the first fault: {faults.found[0].message}" if faults.found else ""
        raise DataError(f"{where}: expected a row with an image of split {split}, found none{why}")
    read = partial(read_from, tree)
    return Dataset("table", columns.describe(), labels, samples, read)


def split_values(root: Path) -> set[str]:
    """The splits that a table names; none where it has no column for them."""
    table = open_table(root, Faults(True))
    if (column := _named(SPLITS, list(table.header))) is None:
        return set()
    require_usable(table.header, [column], table.where)
    values = {_text(row.get(column)).lower() for _, row in table.rows}
    return {SPLIT_NAMES[value] for value in values if value in SPLIT_NAMES}


def _samples(tree: Tree, entries: Sequence[_Entry], split: str) -> SampleColumns:
    votes = [entry.votes for entry in entries]
    return SampleColumns(
        tree.where,
        pack([entry.member for entry in entries]),
        [entry.label for entry in entries],
        split,
        votes=np.array(votes, np.float32) if votes and votes[0] is not None else None,
        subjects=[e.subject for e in entries] if any(e.subject is not None for e in entries) else None,
    )


def _columns(header: Row, labels: LabelSet, where: str) -> _Columns:
    names = [name for name in header if name]
    path, label = _named(PATHS, names), _named(LABELS, names)
    if path is None:
        raise DataError(
            f"{where}: expected a header with a column {', '.join(PATHS[:-1])} or {PATHS[-1]}, "
            f"found {list_some(names)}"
        )
    votes = _vote_columns(names, labels, where, beside=label)
    columns = _Columns(path, label, votes, _named(SPLITS, names), _named(SUBJECTS, names))
    require_usable(header, [path, label, *votes, columns.split, columns.subject], where)
    return columns


def _named(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of the wanted columns that is there, under the name it has there."""
    return next((name for want in wanted for name in names if name.strip().lower() == want), None)


def _vote_columns(
    names: Sequence[str], labels: LabelSet, where: str, *, beside: str | None
) -> tuple[str, ...]:
    """The columns with the votes for each class, under the names they have there.

    Args:
        names: of all columns.
        labels: the classes.
        where: the table, for messages.
        beside: the label column; where there is one, a table may have no votes, and then none are given.
    """
    classes = [canonical(expression) for expression in labels.expressions]
    found = [[name for name in names if canonical(name) == wanted] for wanted in classes]
    if not all(found):
        if beside is not None:
            return ()
        raise DataError(f"{where}: {_votes_missing(names, labels)}")
    for wanted, columns in zip(labels.expressions, found, strict=True):
        if len(columns) > 1:
            raise DataError(
                f"{where}: expected one column of votes for {wanted}, found {' and '.join(columns)}; "
                "leave one"
            )
    others = [name for name in names if canonical(name) in NO_CLASS and not labels.has(name)]
    if others:
        raise DataError(
            f"{where}: expected votes for classes alone, found {' and '.join(others)} as FER+ has them, "
            "whose votes would be lost; read the images of FER+ as the data set ferplus, or leave out those "
            "columns and the rows that they win"
        )
    return tuple(columns[0] for columns in found)


def _votes_missing(names: Sequence[str], labels: LabelSet) -> str:
    """What a table without labels lacks, and which columns may be meant by it."""
    there = {canonical(column) for column in names}
    wanted = [name for name in labels.expressions if canonical(name) not in there]
    if len(wanted) == len(labels):
        return (
            f"expected a column {', '.join(LABELS[:-1])} or {LABELS[-1]}, or a column of votes "
            f"for each of {', '.join(labels.expressions)}, found {list_some(list(names))}"
        )
    free = {name.strip().lower(): name for name in names if not labels.has(name)}
    spellings = {name: [name, *(s for s, meant in SYNONYMS.items() if meant == name)] for name in wanted}
    near = {name: [m for s in spellings[name] for m in get_close_matches(s, free, 1, 0.7)] for name in wanted}
    told = ", ".join(f"{name} ({free[near[name][0]]}?)" if near[name] else name for name in wanted)
    return (
        f"expected a column of votes for each of the {len(labels)} classes, found none for {told}; mend the "
        "header, or name as the classes exactly those that have a column"
    )


def _note_missing(table: Table, entries: Sequence[_Entry], there: Sequence[_Entry], faults: Faults) -> None:
    """Notes the rows whose image is not there: each, or the first where it stops."""
    kept = {entry.member for entry in there}
    missing = [entry for entry in entries if entry.member not in kept]
    for entry in missing:
        hint = "; write / between folders" if "\\" in entry.member else ""
        faults.add(
            f"{table.where}, {table.unit} {entry.number}: no image {table.tree.where}/{entry.member}{hint} "
            f"({len(missing):,} of the {len(entries):,} images are missing)",
            "missing",
        )


def _entries(table: Table, columns: _Columns, options: ListingOptions, faults: Faults) -> Iterator[_Entry]:
    folder = os.path.dirname(table.where)
    for number, row in table.rows:
        if all(value is None or value == "" for value in row.values()):
            continue
        try:
            if columns.split is None or _split(row[columns.split]) == options.split:
                yield _entry(number, row, columns, options, folder)
        except (ValueError, KeyError) as error:
            reason = f"no value for column {error}" if isinstance(error, KeyError) else error
            faults.add(f"{table.where}, {table.unit} {number}: {reason}")


def _entry(number: int, row: Row, columns: _Columns, options: ListingOptions, folder: str) -> _Entry:
    labels = options.classes
    path = _text(row[columns.path])
    if not path:
        raise ValueError(f"expected a path in column {columns.path}, found nothing")
    member = os.path.relpath(path, os.path.abspath(folder)) if os.path.isabs(path) else os.path.normpath(path)
    votes = _votes(row, columns, labels) if columns.votes else None
    if columns.label is not None:
        label = _label(row[columns.label], labels, numbered=options.numbered)
    else:
        label = max(range(len(labels)), key=lambda k: (votes or ())[k])
    subject = None if columns.subject is None else _text(row[columns.subject]) or None
    return _Entry(number, member.replace(os.sep, "/"), label, votes, subject)


def _text(value: Any) -> str:
    """What a cell says; a Parquet file's 0 says something, its null does not."""
    return "" if value is None else str(value).strip()


def _label(value: Any, labels: LabelSet, *, numbered: bool) -> int:
    """The class of a cell; a number is a position only where no class can be meant by it, as on a scale."""
    text = _text(value)
    whole = _WHOLE.fullmatch(text)
    if not whole or any(map(_NUMBER.fullmatch, labels.expressions)):
        name = whole[1] if whole and text not in labels.expressions else text
        try:
            return labels.index(name)
        except ValueError as error:
            raise ValueError(f"{error}; {NAME_OWN}") from None
    number = int(whole[1])
    if not numbered:
        raise ValueError(
            f"expected a label by name ({', '.join(labels.expressions)}), found the number {number}, which "
            "has another meaning in each data set; name the order with the option for classes, or write names"
        )
    if not 0 <= number < len(labels):
        raise ValueError(
            f"expected a label of 0 to {len(labels) - 1} (0 is {labels.expressions[0]}), found {number}; "
            "if yours count from 1, write names"
        )
    return number


def _votes(row: Row, columns: _Columns, labels: LabelSet) -> tuple[float, ...]:
    """Share of each class."""
    votes = [_vote(row[column], column) for column in columns.votes]
    if not (total := sum(votes)):
        raise ValueError(f"expected a vote for one of {', '.join(labels.expressions)}, found none")
    return tuple(vote / total for vote in votes)


def _vote(value: Any, column: str) -> float:
    try:
        vote = float(value)
    except (TypeError, ValueError):
        vote = math.nan
    if not 0 <= vote < math.inf:
        raise ValueError(f"expected votes from 0 up in column {column}, found {value!r}")
    return vote


def _split(value: Any) -> str:
    text = _text(value).lower()
    if text not in SPLIT_NAMES:
        raise ValueError(f"expected a split such as train, valid or test, found {value!r}")
    return SPLIT_NAMES[text]

"""What inputs stand for: every image in them, in an order that depends on nothing but the inputs."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crossfer.images.read import SUFFIXES
from crossfer.scale.entries import Entry, fault_entry, file_entry
from crossfer.scale.faults import ScoreError
from crossfer.scale.names import input_name, is_address, shown, suffix
from crossfer.scale.storage import Listed, filesystem, kind_of, look_at, naming, reason, walk
from crossfer.scale.tables import holds_images, list_csv, list_names, list_parquet
from crossfer.scale.tars import TARS, list_tar
from crossfer.scale.zips import list_zip

LISTS = frozenset({".txt", ".lst", ".list"})
LINKED = "linked folders"  # among what is passed over
# What lists or holds images in a form that is not read, and what to do with it.
UNREAD = dict.fromkeys(
    (".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".xls", ".xlsx", ".ods", ".feather", ".arrow", ".orc"),
    "save it as CSV or Parquet",
) | dict.fromkeys(
    (".gz", ".bz2", ".xz", ".zst", ".tar.zst", ".tzst", ".tar.lz4", ".7z", ".rar"), "unpack it first"
)
_PLAIN = re.compile(r"(\.tar)?\.(?=.*[a-z])[a-z0-9]{1,8}")  # other suffixes may hold anything


class Listing:
    """The images of some inputs, listed anew each time it is gone through; none is read.

    Args:
        inputs: folders, images, zip, tar and Parquet files, lists, tables, patterns with ``*``; paths or
            fsspec addresses.
        column: of tables and Parquet files; None to go by the usual names.
        output: the folder of the run: what patterns match within it is none of the input.

    Attributes:
        names: the inputs, absolute.
        passed_over: how many files in folders and archives were no images, by suffix (those in a tar that
            is read from front to back are not known), and how many links led to folders, as ``LINKED``.
    """

    def __init__(self, inputs: Sequence[str], column: str | None = None, output: Path | None = None) -> None:
        self.names = [input_name(given) for given in inputs]
        self.column = column
        self.passed_over: Counter[str] = Counter()
        places = () if output is None else (os.path.abspath(output), os.path.realpath(output))
        self._within = tuple(os.path.join(os.fsencode(place), b"") for place in places)
        self._matched: dict[bytes, list[bytes]] = {}

    @property
    def folders(self) -> tuple[bytes, ...]:
        """The inputs that are folders on this machine, and the folders that patterns match.

        Raises:
            ScoreError: if one cannot be looked at.
        """
        local = [name for name in self.names if not is_address(name)]
        places = [p for n in local for p in (self._matches(n) if _kind(n) == "nothing" else [n])]
        return tuple(place for place in places if _kind(place) == "folder")

    def _matches(self, pattern: bytes) -> list[bytes]:
        """What a pattern stands for, looked up once: what is put there later does not join the input."""
        if pattern not in self._matched:
            self._matched[pattern] = [m for m in _matches(pattern) if not m.startswith(self._within)]
        return self._matched[pattern]

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            ScoreError: if an input is not there, cannot be opened, or is of no use.
        """
        self.passed_over.clear()
        for name in self.names:
            with _in_one_sentence(name):
                yield from self._below(name)

    def _below(self, name: bytes) -> Iterator[Entry]:
        kind = _kind(name)
        if kind == "folder":
            for found in walk(name, self._pass_link):
                yield from self._in_folder(found)
        elif kind == "file":
            yield from self._named(look_at(name))
        elif matches := self._matches(name):
            for match in matches:
                yield from self._below(match)
        else:
            raise ScoreError(f"{shown(name)}: no such file or folder; check the input")

    def _in_folder(self, found: Listed) -> Iterator[Entry]:
        ending = suffix(found.path)
        if found.fault is not None:
            yield fault_entry(found.path, "listing", found.fault)
        elif ending in SUFFIXES:
            yield file_entry(found)
        elif ending == ".zip":
            yield from list_zip(found, self._pass_over)
        elif ending in TARS:
            yield from list_tar(found, self._pass_over)
        elif ending == ".parquet":
            yield from self._parquet_in_folder(found)
        else:
            self._pass_over(found.path)

    def _pass_over(self, name: bytes) -> None:
        ending = suffix(name)
        known = "other" if ending else "without suffix"
        self.passed_over[ending if _PLAIN.fullmatch(ending) else known] += 1

    def _pass_link(self) -> None:
        self.passed_over[LINKED] += 1

    def _parquet_in_folder(self, found: Listed) -> Iterator[Entry]:
        """The images that it holds; a table that only names images counts where it is the input itself."""
        try:
            if holds_images(found, self.column):
                yield from list_parquet(found, self.column)
            else:
                self._pass_over(found.path)
        except OSError as error:
            yield fault_entry(found.path, "archive", reason(error))

    def _named(self, found: Listed) -> Iterator[Entry]:
        match suffix(found.path):
            case ".zip":
                return list_zip(found, self._pass_over)
            case ".parquet":
                return list_parquet(found, self.column)
            case ".csv":
                return list_csv(found, self.column)
            case ending if ending in TARS:
                return list_tar(found, self._pass_over)
            case ending if ending in LISTS:
                return list_names(found)
            case ending if ending in UNREAD:
                raise ScoreError(
                    f"{shown(found.path)}: expected an image, a folder, a zip, tar, Parquet or CSV file or a "
                    f"list ({', '.join(sorted(LISTS))}), found {ending}; {UNREAD[ending]}"
                )
        return iter([file_entry(found)])


@contextmanager
def _in_one_sentence(name: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = reason(error)
        place = "" if shown(name) in text else f"{shown(name)}: "
        raise ScoreError(f"{place}{text}; check the input") from error


def _kind(name: bytes) -> str:
    with _in_one_sentence(name):
        return kind_of(name)


def _matches(pattern: bytes) -> list[bytes]:
    if not glob.has_magic(pattern):
        return []
    if not is_address(pattern):
        return sorted(glob.iglob(pattern, recursive=True))
    fs, path = filesystem(pattern)
    with naming(pattern):
        return sorted(fs.unstrip_protocol(str(match)).encode() for match in fs.glob(path))

"""A table as rows: which file it is, its header, and CSV and Parquet read alike."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from crossfer.data.listing import csv_lines
from crossfer.data.sample import DataError, Faults
from crossfer.data.tree import FolderTree, Tree, ZipTree, list_some

SUFFIXES = (".csv", ".parquet")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table that is open.

    Attributes:
        tree: what its paths are relative to.
        where: its place, for messages.
        unit: what its rows are counted in: ``"line"`` of a CSV file, the header's being 1, or ``"row"``.
        header: for each column what speaks against using it, or None.
        rows: each with its number.
    """

    tree: Tree
    where: str
    unit: str
    header: Row
    rows: Iterator[tuple[int, Row]]


def open_table(root: Path, faults: Faults) -> Table:
    """Opens the table that a path leads to.

    Args:
        root: the ``.csv`` or ``.parquet`` file; or a folder, or a zip, with one such file at its top.
        faults: what to do about rows of another length than the header.

    Raises:
        DataError: if there is no such table, or more than one; while rows are taken, if it cannot be read.
    """
    tree, name = _find_table(root)
    is_csv = not name.lower().endswith(".parquet")
    rows = _csv_rows(tree, name, faults) if is_csv else _parquet_rows(tree, name)
    _, header = next(rows)
    return Table(tree, f"{tree.where}/{name}", "line" if is_csv else "row", header, rows)


def require_usable(header: Row, columns: Iterable[str | None], where: str) -> None:
    """Refuses columns that cannot be used.

    Args:
        header: as ``open_table`` gives it.
        columns: names of some of its columns; None for one that the table has not.
        where: the table, for messages.

    Raises:
        DataError: what speaks against the first such column.
    """
    for column in columns:
        if column is not None and (fault := header[column]):
            raise DataError(f"{where}: {fault}")


def _find_table(root: Path) -> tuple[Tree, str]:
    """The tree that a table's paths are relative to, and the table's name in it."""
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return FolderTree(root.parent), root.name
    tree: Tree | None = None
    tables: list[str] = []
    if root.is_dir():
        tree = FolderTree(root)
        tables = sorted(p.name for p in root.iterdir() if p.suffix.lower() in SUFFIXES)
    elif root.is_file() and root.suffix.lower() == ".zip":
        tree = ZipTree(root)
        tables = sorted(n for n in tree.names if "/" not in n and n.lower().endswith(SUFFIXES))
    if tree is None:
        found = f"a file {root.suffix or 'without suffix'}" if root.exists() else "nothing"
        raise DataError(f"{root}: expected a table (.csv or .parquet), found {found}; check the path")
    if len(tables) != 1:
        raise DataError(
            f"{root}: expected one table (.csv or .parquet), "
            f"found {list_some(tables) if tables else 'none'}; name the file itself"
        )
    return tree, tables[0]


def _header(names: Sequence[str], nested: Mapping[str, str] | None = None) -> Row:
    """For each column what speaks against using it, or None.

    Args:
        names: of the columns, as often as they come.
        nested: types of the columns that hold neither text nor numbers.
    """
    faults = {
        name: f"expected text or numbers in column {name}, found {held[:80]}; "
        "if it holds the images themselves, save them as files and write their paths"
        for name, held in (nested or {}).items()
    }
    count = Counter(name.strip().lower() for name in names)
    for name in names:
        if (times := count[name.strip().lower()]) > 1:
            faults[name] = f"expected one column {name}, found {times} of that name; leave one"
    return {name: faults.get(name) for name in names}


def _csv_rows(tree: Tree, name: str, faults: Faults) -> Iterator[tuple[int, Row]]:
    """First the header, then each row, with the lines where they begin."""
    text = io.TextIOWrapper(io.BytesIO(tree.bytes_of(name) or b""), "utf-8-sig", newline="")
    lines = csv_lines(text, f"{tree.where}/{name}")
    try:
        begins, header = next(lines, (1, []))
        yield begins, _header(header)
        for line, cells in lines:
            if len(cells) in {0, len(header)}:
                yield line, dict(zip(header, cells, strict=False))
            else:
                faults.add(
                    f"{tree.where}/{name}, line {line}: expected {len(header)} cells, found {len(cells)}"
                )
    except UnicodeDecodeError as error:
        raise DataError(f"{tree.where}/{name}: expected a CSV table in UTF-8 ({error})") from error


def _parquet_rows(tree: Tree, name: str) -> Iterator[tuple[int, Row]]:
    """First the header as row 0, then each row."""
    try:
        from pyarrow import ArrowException, types  # noqa: PLC0415 - an extra
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415
    except ImportError:
        needs = 'reading Parquet needs pyarrow: pip install ".[data]" in a checkout'
        raise DataError(f"{tree.where}/{name}: {needs}") from None
    try:
        file = ParquetFile(io.BytesIO(tree.bytes_of(name) or b""))
        kinds = (types.is_nested, types.is_binary, types.is_large_binary)
        fields = list(file.schema_arrow)
        nested = {field.name: str(field.type) for field in fields if any(is_(field.type) for is_ in kinds)}
        yield 0, _header([field.name for field in fields], nested)
        batches = file.iter_batches(batch_size=8192)
        yield from enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1)
    except (ArrowException, OSError) as error:
        raise DataError(f"{tree.where}/{name}: expected a whole Parquet file ({error})") from error

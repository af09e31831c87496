"""Images named in lists and tables, and images that lie in a column of a Parquet file."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import types
from pyarrow.parquet import ParquetFile

from crossfer.scale.entries import Entry, entry_name, fault_entry, file_entry
from crossfer.scale.faults import Fault, ScoreError
from crossfer.scale.names import beside, shown
from crossfer.scale.storage import Listed, look_at, open_file, reason

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "url", "key")
BYTES_COLUMNS = ("image", "image_bytes", "bytes", "img", "jpg", "jpeg", "png", "webp", "content", "data")
ROWS_AT_ONCE = 64
READ_AHEAD = 1 << 20
MAX_NAME = 1 << 16
MAX_CELL = 1 << 24  # characters; Python's own limit is 131,072
TEXT = (types.is_string, types.is_large_string, types.is_string_view)
BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)


# ---- lists ----


def list_names(found: Listed) -> Iterator[Entry]:
    """The images that a text file names, one a line; or with a zero byte after each, as ``find -print0``.

    Raises:
        ScoreError: if it is no such file.
    """
    with open_file(found.path) as file:
        start = file.read(READ_AHEAD)
        _refuse_utf16(start, found.path)
        zeros = b"\0" in start
        marked = start.startswith(codecs.BOM_UTF8) and not zeros
        file.seek(len(codecs.BOM_UTF8) if marked else 0)
        for name in _split(file, b"\0") if zeros else _split(file, b"\n"):
            if name := name if zeros else name.rstrip(b"\r"):
                yield _named(found.path, name)


def _refuse_utf16(start: bytes, path: bytes) -> None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in start[:4]:
        raise ScoreError(f"{shown(path)}: expected names in UTF-8, found UTF-16; save it as UTF-8")


def _split(file: BinaryIO, end: bytes) -> Iterator[bytes]:
    rest = b""
    while block := file.read(READ_AHEAD):
        *names, rest = (rest + block).split(end)
        yield from names
        if len(rest) > MAX_NAME:
            raise ScoreError(f"expected a list of names, found a line of more than {MAX_NAME:,} bytes")
    yield rest


def _named(table: bytes, name: bytes) -> Entry:
    return file_entry(look_at(beside(table, name)))


# ---- tables ----


def list_csv(found: Listed, column: str | None) -> Iterator[Entry]:
    """The images that a CSV table names.

    Raises:
        ScoreError: if it is none in UTF-8, has no column of names, or a name has a line break.
    """
    where = shown(found.path)
    with open_file(found.path) as file:
        _refuse_utf16(file.read(4), found.path)
        file.seek(0)
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        lines = _csv_lines(text, where)
        _, header = next(lines, (1, []))
        if len(header) == 1 and header[0] != column and any(mark in header[0] for mark in ";\t"):
            raise ScoreError(
                f"{where}: expected columns parted by commas, found {header[0]!r}; save the table with commas"
            )
        place = header.index(_column(header, PATH_COLUMNS, column, where))
        for number, (line, cells) in enumerate(lines, start=1):
            name = cells[place].strip() if place < len(cells) else ""
            if "\n" in name or "\r" in name:
                raise ScoreError(
                    f"{where}, line {line}: expected a name, found one with a line break; look for a stray "
                    "quotation mark, or give such names in a list that parts them by zero bytes"
                )
            if cells:
                yield _row(found.path, name.encode("utf-8", "surrogateescape"), number)


def _csv_lines(text: Iterable[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the number of the line where it begins."""
    csv.field_size_limit(max(MAX_CELL, csv.field_size_limit()))
    lines, begins = csv.reader(text, strict=True), 1
    try:
        for cells in lines:
            yield begins, cells
            begins = lines.line_num + 1
    except csv.Error as error:
        raise ScoreError(
            f"{where}, line {begins}: expected a line of CSV, cells parted by commas ({error}); "
            "look for a stray quotation mark on this line or above"
        ) from error


def list_parquet(found: Listed, column: str | None) -> Iterator[Entry]:
    """The images of a Parquet file: those in a column of bytes if there is one, else those that it names.

    Raises:
        ScoreError: if it has neither, or what should be names is something else.
        OSError: if it is no Parquet file.
    """
    with open_file(found.path) as file:
        table = _open(file, found.path)
        if (held := _bytes_column(table, column)) is not None:
            yield from _list_bytes(found, table, held)
        else:
            where = shown(found.path)
            chosen = _column(table.schema_arrow.names, PATH_COLUMNS, column, where, BYTES_COLUMNS)
            yield from _list_rows(found, table, chosen)


def holds_images(found: Listed, column: str | None) -> bool:
    """Whether a Parquet file has a column of images.

    Raises:
        OSError: if it is no Parquet file.
    """
    with open_file(found.path) as file:
        return _bytes_column(_open(file, found.path), column) is not None


def _bytes_column(table: ParquetFile, column: str | None) -> str | None:
    """The column that holds images: bytes, or a struct with ``bytes`` in it as Hugging Face writes it."""
    held = [field.name for field in table.schema_arrow if _holds_bytes(field.type)]
    wanted = (column,) if column else BYTES_COLUMNS
    return next((name for want in wanted for name in held if name.lower() == want.lower()), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_any(BYTES, kind.field(place).type)
    return _is_any(BYTES, kind)


def _is_any(tests: Iterable[Callable[[pa.DataType], bool]], kind: pa.DataType) -> bool:
    values = kind.value_type if types.is_dictionary(kind) else kind
    return any(test(values) for test in tests)


def _list_bytes(found: Listed, table: ParquetFile, column: str) -> Iterator[Entry]:
    number = 0
    for group in range(table.num_row_groups):
        for place in range(table.metadata.row_group(group).num_rows):
            yield Entry("parquet", found.path, b"%d" % number, place, group, stamp=found.stamp, detail=column)
            number += 1


def _list_rows(found: Listed, table: ParquetFile, column: str) -> Iterator[Entry]:
    schema, where = table.schema_arrow, shown(found.path)
    kind = schema.field(schema.names.index(column)).type
    if not _is_any(TEXT + BYTES, kind):
        raise ScoreError(
            f"{where}: expected text or bytes in column {column!r}, found {str(kind)[:80]}; "
            "save its names or images as one of these, or name another column: --column"
        )
    number = 0
    for batch in table.iter_batches(batch_size=8192, columns=[column]):
        for value in batch.column(0).to_pylist():
            number += 1
            name = value.encode() if isinstance(value, str) else value or b""
            if isinstance(value, bytes) and b"\0" in name:
                raise ScoreError(
                    f"{where}, row {number}: expected a name in column {column!r}, found other bytes; "
                    f"if these are images: --column {column}"
                )
            yield _row(found.path, name, number)


def _row(table: bytes, name: bytes, number: int) -> Entry:
    if name:
        return _named(table, name)
    message = f"{shown(table)}, row {number}: expected the name of an image, found nothing"
    return fault_entry(table, "listing", message, b"%d" % number)


def _column(
    header: Sequence[str], known: Sequence[str], wanted: str | None, where: str, held: Sequence[str] = ()
) -> str:
    """The column of names; ``held`` are those of images that the message tells as well."""
    for want in (wanted,) if wanted else known:
        for name in header:
            if name.strip().lower() == want.lower():
                return name
    expected = f"a column {wanted!r}" if wanted else f"a column {_either(known)}"
    if held and not wanted:
        expected += f", or one of bytes called {_either(held)}"
    found = ", ".join(map(repr, header[:8])) or "none"
    raise ScoreError(
        f"{where}: expected {expected}, found {found}; name the one that holds the images: --column"
    )


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _open(file: BinaryIO, path: bytes) -> ParquetFile:
    try:
        # Buffered and not read ahead: a column of images is read bit by bit, not as a whole.
        return ParquetFile(file, buffer_size=READ_AHEAD, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise OSError(
            f"{shown(path)}: expected a whole Parquet file ({reason(error)}); write it again"
        ) from error


class ParquetReader:
    """Reads images from a Parquet file row by row, forwards."""

    def __init__(self, path: bytes) -> None:
        self._file = open_file(path)
        try:
            self._table = _open(self._file, path)
        except BaseException:
            self._file.close()
            raise
        self._rows: Iterator[Any] = iter(())
        self._at: tuple[int | None, int] = (None, 0)

    def read(self, entry: Entry) -> bytes:
        """The image of a row; an empty cell is an empty file.

        Raises:
            Fault: if the row has only the path of its image.
            Exception: whatever a damaged file leads to.
        """
        (group, place), wanted = self._at, entry.place or 0
        self._at = (None, 0)  # an error ends the rows: what comes after it begins anew
        if entry.group != group or wanted < place:
            self._rows, place = self._from(entry.group or 0, entry.detail or ""), 0
        try:
            cell = next(islice(self._rows, wanted - place, None))
        except StopIteration:
            raise ValueError("the table is no longer the one that was listed") from None
        self._at = (entry.group, wanted + 1)
        return self._content(cell, entry) or b""

    @staticmethod
    def _content(cell: Any, entry: Entry) -> bytes | None:
        if not isinstance(cell, dict):
            return cell
        if cell["bytes"] is None and cell.get("path"):
            name, path = entry_name(entry.path, entry.member), shown(str(cell["path"]).encode())
            found = f"{name}: expected an image in bytes, found only its path {path}, which is not followed"
            raise Fault("archive", f"{found}; write the table with its images embedded")
        return cell["bytes"]

    def _from(self, group: int, column: str) -> Iterator[Any]:
        for batch in self._table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column]):
            for cell in batch.column(0):
                yield cell.as_py()

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

"""An entry of the plan: where the bytes of one image are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import pyarrow as pa

from crossfer.scale.faults import Cause, Fault
from crossfer.scale.names import shown
from crossfer.scale.storage import Listed

Kind = Literal["file", "zip", "tar", "stream", "parquet", "fault"]
PassOver = Callable[[bytes], object]  # is given the name of a member that is no image

# As a table: the plan's columns. Names are bytes, because file systems know no text.
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("path", pa.binary()),
        pa.field("member", pa.binary()),
        pa.field("place", pa.int64()),
        pa.field("group", pa.int32()),
        pa.field("size", pa.int64()),
        pa.field("stamp", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("cause", pa.string()),
    ]
)


class Entry(NamedTuple):
    """Where the bytes of an image are; a stream stands for all images of a tar.

    Attributes:
        kind: ``"file"``; a member of a ``"zip"``, ``"tar"`` or ``"parquet"`` file; ``"stream"``: a tar that
            can only be read from front to back; ``"fault"``: nothing to read.
        path: the file, or the archive.
        member: the name in the archive, or the number of the row, from 0.
        place: the member's number in a zip's directory, the offset of its header in a tar, or the row's
            number in its row group.
        group: row group of a Parquet file.
        size: bytes of the image, or of a tar that is streamed; None where listing does not tell.
        stamp: when it was changed, or another mark of its content; None where listing does not tell.
        detail: the column of a Parquet file; of a fault, what happened.
        cause: of a fault, the kind of it.
    """

    kind: Kind
    path: bytes
    member: bytes | None = None
    place: int | None = None
    group: int | None = None
    size: int | None = None
    stamp: str | None = None
    detail: str | None = None
    cause: Cause | None = None

    @property
    def listed(self) -> bool:
        """Whether it was there when it was listed."""
        return self.size is not None or self.kind in {"zip", "parquet"}


def file_entry(found: Listed) -> Entry:
    """The entry of an image file."""
    return Entry("file", found.path, size=found.size, stamp=found.stamp)


def fault_entry(path: bytes, cause: Cause, message: str, member: bytes | None = None) -> Entry:
    """An entry that becomes a row with an error."""
    return Entry("fault", path, member, detail=message, cause=cause)


def entry_name(path: bytes, member: bytes | None) -> str:
    """What messages call an image."""
    return shown(path) if member is None else f"{shown(path)}/{shown(member)}"


def is_hidden(member: bytes) -> bool:
    """Whether a member of an archive is hidden, or litter of macOS.

    A name is only a name, ``../x.png`` too: nothing is written where it points.
    """
    parts = (part for part in member.split(b"/") if part not in {b".", b".."})
    return any(part.startswith((b".", b"__MACOSX")) for part in parts)


def no_file(path: bytes, member: bytes, found: str) -> Fault:
    """What is wrong with a member of an archive that has the name of an image and is no file."""
    return Fault("archive", f"{entry_name(path, member)}: expected a file that can be read, found {found}")


def to_table(entries: list[Entry]) -> pa.Table:
    """Entries as a table with ``SCHEMA``."""
    columns = list(zip(*entries, strict=True)) if entries else [()] * len(SCHEMA)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def from_table(table: pa.Table) -> list[Entry]:
    """The inverse of ``to_table``."""
    columns = [table[name].to_pylist() for name in SCHEMA.names]
    return [Entry(*values) for values in zip(*columns, strict=True)]

"""How many values a TIFF's longest list has, told without decoding it."""

from __future__ import annotations

from crossfer.images.cost.limits import MAX_PARTS

_TEXT_OR_BYTES = {1, 2, 6, 7}  # types of one byte a value, which are read at once however many there are


def fault(data: bytes) -> str | None:
    """Says so where a TIFF has too many strips or tiles. Bytes that are no TIFF have no fault here."""
    if most_values(data) <= MAX_PARTS:
        return None
    return f"expected a TIFF of at most {MAX_PARTS:,} strips or tiles, found more; save it anew"


def most_values(data: bytes) -> int:
    """The most numbers in one field of a TIFF's first directory, such as where each strip of pixels lies.

    Bytes that are no TIFF have none.
    """
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None:
        return 0

    def number(place: int, size: int) -> int:
        return int.from_bytes(data[place : place + size], order)  # type: ignore[arg-type]

    big = number(2, 2) == 43  # BigTIFF, which counts in eight bytes
    if number(2, 2) not in (42, 43):
        return 0
    wide, entry, first = (8, 20, 8) if big else (4, 12, 4)
    start = number(first, wide)
    begin = start + (8 if big else 2)
    entries = min(number(start, 8 if big else 2), max(0, len(data) - begin) // entry)
    places = range(begin, begin + entries * entry, entry)
    counts = (number(p + 4, wide) for p in places if number(p + 2, 2) not in _TEXT_OR_BYTES)
    return max(counts, default=0)

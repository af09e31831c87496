"""How many chunks a PNG is cut into, told without decoding it."""

from __future__ import annotations

from crossfer.images.cost.limits import MAX_PARTS

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AROUND = 12  # bytes of a chunk's length, type and checksum


def fault(data: bytes) -> str | None:
    """Says so where a PNG has too many chunks. Bytes that are no PNG have no fault here."""
    if count_chunks(data, MAX_PARTS) <= MAX_PARTS:
        return None
    return f"expected a PNG of at most {MAX_PARTS:,} chunks, found more; save it anew"


def count_chunks(data: bytes, most: int) -> int:
    """Chunks of a PNG file (W3C PNG, section 5.3), up to ``most`` + 1; bytes that are no PNG have none."""
    if not data.startswith(_SIGNATURE):
        return 0
    chunks, place = 0, len(_SIGNATURE)
    while place < len(data) and chunks <= most:
        chunks += 1
        if data[place + 4 : place + 8] == b"IEND":  # what follows is not looked at
            break
        place += _AROUND + int.from_bytes(data[place : place + 4])
    return chunks

"""How often a JPEG asks for its pixels to be passed over, and what lies before them, told undecoded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossfer.runtime.cost.limits import MAX_PARTS, MAX_SCANS

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
# Inside a scan 0xff is followed by 0x00 or a restart marker; before a marker it may be repeated. TEM and SOI
# (0x01, 0xd8) stand alone: no length follows, which would hide what comes after it.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_PHOTOSHOP = b"8BIM"  # begins each of the settings that a Photoshop segment (APP13) holds


def fault(data: bytes) -> str | None:
    """What a JPEG has too much of: scans, or what is gone through one by one to find them.

    Bytes that are no JPEG have no fault here.
    """
    scans, parts = scans_and_parts(data)
    if scans > MAX_SCANS:
        return f"expected a JPEG of at most {MAX_SCANS} scans, found more; save it anew"
    if parts > MAX_PARTS:
        return f"expected a JPEG of at most {MAX_PARTS:,} segments, found more; save it anew"
    return None


def scans_and_parts(data: bytes, most_scans: int = MAX_SCANS, most_parts: int = MAX_PARTS) -> tuple[int, int]:
    """How much the first image of a JPEG file has (ITU-T T.81, annex B), counted until it is too much.

    Parts are segments and, before the first scan, settings in them and single bytes between them, which
    Pillow goes through one by one. What follows the image, such as the film of a "motion photo", does not
    count. Bytes that are no JPEG have none.
    """
    scans, parts, end = 0, 0, 2
    for marker, start, place in _markers(data):
        parts += 1 if scans else 1 + start - end + data.count(_PHOTOSHOP, start, place)
        scans += marker == _SOS
        end = place
        if scans > most_scans or parts > most_parts:
            break
    return scans, parts


def _markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, its first byte's place, and the place after its segment, up to the end of the first image."""
    if data[:2] != bytes((0xFF, _SOI)):
        return
    place = 2
    while (found := _NEXT_MARKER.search(data, place)) and (marker := data[found.start() + 1]) != _EOI:
        segment = found.end()
        place = segment + max(2, int.from_bytes(data[segment : segment + 2]))
        yield marker, found.start(), place

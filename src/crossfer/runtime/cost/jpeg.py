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
    """What a JPEG has too much of: scans, or what Pillow goes through one by one to find the first of them.

    Bytes that are no JPEG have no fault here.
    """
    if parts_before_scan(data, MAX_PARTS) > MAX_PARTS:
        return f"expected a JPEG of at most {MAX_PARTS:,} segments, found more; save it anew"
    if count_scans(data, MAX_SCANS) > MAX_SCANS:
        return f"expected a JPEG of at most {MAX_SCANS} scans, found more; save it anew"
    return None


def count_scans(data: bytes, most: int) -> int:
    """Start-of-scan markers of the first image in a JPEG file (ITU-T T.81, annex B), up to ``most`` + 1.

    What follows the image, such as the film of a "motion photo", does not count. Bytes that are no JPEG have
    none.
    """
    scans = 0
    for marker, _, _ in _markers(data):
        scans += marker == _SOS
        if scans > most:
            break
    return scans


def parts_before_scan(data: bytes, most: int) -> int:
    """Segments before the first scan, settings in them, and single bytes between them, up to about ``most``.

    Bytes that are no JPEG have none.
    """
    parts, end = 0, 2
    for marker, start, place in _markers(data):
        parts += 1 + start - end
        end = place
        if marker == _SOS or parts > most:
            break
    return parts + data.count(_PHOTOSHOP, 0, end)


def _markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, its first byte's place, and the place after its segment, up to the end of the first image."""
    if data[:2] != bytes((0xFF, _SOI)):
        return
    place = 2
    while (found := _NEXT_MARKER.search(data, place)) and (marker := data[found.start() + 1]) != _EOI:
        segment = found.end()
        place = segment + max(2, int.from_bytes(data[segment : segment + 2]))
        yield marker, found.start(), place

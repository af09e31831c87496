"""How often a JPEG asks for its pixels to be passed over, and what lies before them, told undecoded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossfer.images.cost.limits import MAX_PARTS, MAX_SCANS

_SOI, _EOI, _SOS, _DQT = 0xD8, 0xD9, 0xDA, 0xDB
# Inside a scan 0xff is followed by 0x00 or a restart marker; before a marker it may be repeated. TEM and SOI
# (0x01, 0xd8) stand alone: no length follows, which would hide what comes after it.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
# Pillow, which looks for the first scan, takes these to stand alone as well.
_ALONE_BEFORE_SCAN = {0xC8, _EOI, *range(0xF0, 0xFE)}
_FRAMES = {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC}  # three bytes for each component
_PHOTOSHOP = b"8BIM"  # begins each of the settings that a Photoshop segment (APP13) holds
_EXIF = b"Exif\0\0"
_TOO_MANY_EXIF = 100  # segments, since each is added to a copy of those before


def fault(data: bytes) -> str | None:
    """What a JPEG has too much of: scans, or what is gone through one by one to find them.

    Bytes that are no JPEG have no fault here.
    """
    scans, parts = scans_and_parts(data)
    if scans > MAX_SCANS:
        return f"expected a JPEG of at most {MAX_SCANS} scans, found more; save it anew"
    if parts > MAX_PARTS:
        return (
            f"expected a JPEG of at most {MAX_PARTS:,} segments and parts of these, found more; save it anew"
        )
    return None


def scans_and_parts(data: bytes) -> tuple[int, int]:
    """How much the first image of a JPEG file has (ITU-T T.81, annex B), counted until it is too much.

    Parts are segments and, before the first scan, all else that Pillow goes through one by one: bytes between
    segments, components, settings. What follows the image, such as the film of a "motion photo", does not
    count. Bytes that are no JPEG have none.
    """
    scans, parts, end = 0, 0, 2
    for marker, start, place in _markers(data):
        parts += 1
        if not scans:
            parts += start - end + _inside(data, marker, start + 2, place)
        scans += marker == _SOS
        end = place
        if scans > MAX_SCANS or parts > MAX_PARTS:
            break
    return scans, parts


def _inside(data: bytes, marker: int, start: int, end: int) -> int:
    """How many parts a segment has inside, which begins with its length."""
    if marker in _FRAMES:
        return (end - start) // 3
    if marker == _DQT:
        return (end - start) // 65  # bytes of a table
    if data.startswith(_EXIF, start + 2):
        return MAX_PARTS // _TOO_MANY_EXIF  # with the segments themselves, so many are too many
    return data.count(_PHOTOSHOP, start, end)


def _markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, its first byte's place, and the place after its segment, up to the end of the first image."""
    if data[:2] != bytes((0xFF, _SOI)):
        return
    place, scanned = 2, False
    while found := _NEXT_MARKER.search(data, place):
        marker, place = data[found.start() + 1], found.end()
        if scanned and marker == _EOI:
            return
        if scanned or marker not in _ALONE_BEFORE_SCAN:
            place += max(2, int.from_bytes(data[place : place + 2]))
        yield marker, found.start(), place
        scanned = scanned or marker == _SOS

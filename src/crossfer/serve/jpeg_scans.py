"""How often a JPEG asks for its pixels to be passed over, told without decoding it."""

from __future__ import annotations

import re

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
# Inside a scan 0xff is followed by 0x00 or a restart marker; before a marker it may be repeated. TEM and SOI
# (0x01, 0xd8) stand alone: no length follows, which would hide what comes after it.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def count_scans(data: bytes, most: int) -> int:
    """Start-of-scan markers of the first image in a JPEG file (ITU-T T.81, annex B), up to ``most`` + 1.

    What follows the image, such as the film of a "motion photo", does not count. Bytes that are no JPEG have
    none.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        return 0
    scans, place = 0, 2
    while scans <= most and (found := _NEXT_MARKER.search(data, place)):
        marker = data[found.start() + 1]
        if marker == _EOI:
            break
        scans += marker == _SOS
        segment = found.end()
        place = segment + max(2, int.from_bytes(data[segment : segment + 2]))
    return scans

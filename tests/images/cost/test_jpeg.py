"""Scans are counted as an encoder wrote them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossfer.images.cost.jpeg import fault, scans_and_parts
from crossfer.images.cost.limits import MAX_SCANS


def jpeg(astronaut: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(astronaut[::4, ::4]).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "scans"),
    [
        ({}, 1),
        ({"progressive": True}, 10),
        ({"restart_marker_blocks": 3}, 1),
        ({"exif": b"Exif\x00\x00" + b"\xff\xda" * 50}, 1),
        ({"comment": b"\xff\xda\xff\xd9" * 50}, 1),
    ],
)
def test_the_scans_of_a_jpeg(astronaut, options, scans):
    assert scans_and_parts(jpeg(astronaut, **options))[0] == scans


def test_what_follows_the_image_does_not_count(astronaut):
    film = np.random.default_rng(0).bytes(2_000_000)
    assert film.count(b"\xff\xda") > 10
    assert scans_and_parts(jpeg(astronaut) + film)[0] == 1


def test_counting_stops_above_the_limit(astronaut):
    start = jpeg(astronaut, progressive=True).split(b"\xff\xd9")[0]
    assert scans_and_parts(start + b"\xff\xda\x00\x03x" * 100_000)[0] == 65


@pytest.mark.parametrize("marker", [b"\xff\x01", b"\xff\xd8", b"\xff\xd0"])
def test_a_marker_that_stands_alone_hides_no_scans(astronaut, marker):
    start = jpeg(astronaut).split(b"\xff\xd9")[0]
    hidden = marker + b"\xff\xda\x00\x03x" * 30
    assert scans_and_parts(start + hidden)[0] == 31


@given(st.binary(max_size=200))
def test_any_bytes_have_a_count(data):
    scans, parts = scans_and_parts(b"\xff\xd8" + data)
    assert 0 <= scans <= MAX_SCANS + 1
    assert parts >= 0
    assert scans_and_parts(b"\x89P" + data) == (0, 0)


PARTS = {
    "ends of images": b"\xff\xd9",
    "extensions": b"\xff\xf0",
    "comments": b"\xff\xfe\x00\x02",
    "profiles": b"\xff\xe2\x00\x10ICC_PROFILE\0\x01\x01",
    "bytes between": b"\xff",
    "escaped bytes between": b"\xff\x00",
}


@pytest.mark.parametrize("kind", PARTS)
def test_what_lies_before_the_first_scan_is_counted(astronaut, kind):
    data = jpeg(astronaut)
    _, usual = scans_and_parts(data)
    assert usual < 20
    assert scans_and_parts(data[:2] + PARTS[kind] * 400 + data[2:])[1] >= usual + 400
    assert fault(data[:2] + PARTS[kind] * 400 + data[2:]) is None
    assert "at most 65,536 segments" in str(fault(data[:2] + PARTS[kind] * 70_000 + data[2:]))


def test_settings_in_a_segment_are_counted(astronaut):
    data = jpeg(astronaut)
    settings = b"Photoshop 3.0\0" + b"8BIM\0\1\0\0\0\0\0\0" * 5000
    segment = b"\xff\xed" + (len(settings) + 2).to_bytes(2) + settings
    assert scans_and_parts(data[:2] + segment + data[2:])[1] >= 5000
    assert fault(data[:2] + segment * 14 + data[2:]) is not None


def test_bytes_of_the_scan_do_not_count_but_segments_after_it_do(astronaut):
    data = jpeg(astronaut)
    end = data.rindex(b"\xff\xd9")
    assert fault(data[:end] + b"\xff" * 70_000 + data[end:]) is None
    assert "segments" in str(fault(data[:end] + PARTS["comments"] * 70_000 + data[end:]))


@pytest.mark.parametrize(
    "marker", [b"\xff\xd9", b"\xff\xf0\xff\xff", b"\xff\xfd\xff\xff", b"\xff\xc8\xff\xff"]
)
def test_nothing_before_the_first_scan_hides_segments(astronaut, marker):
    data = jpeg(astronaut)
    assert "segments" in str(fault(data[:2] + (marker + PARTS["comments"] * 16_000) * 5 + data[2:]))


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe1\x00\x08Exif\0\0",  # each is added to a copy of those before
        b"\xff\xc0\xff\xff" + bytes(65_533),  # three bytes for each component
        b"\xff\xdb\xff\xff" + bytes(65_533),  # tables of 65 bytes
    ],
)
def test_segments_that_cost_more_count_for_more(astronaut, segment):
    data = jpeg(astronaut)
    assert fault(data[:2] + segment + data[2:]) is None
    assert fault(data[:2] + segment * 110 + data[2:]) is not None

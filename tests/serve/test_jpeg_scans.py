"""Scans are counted as an encoder wrote them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossfer.serve.jpeg_scans import count_scans


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
    assert count_scans(jpeg(astronaut, **options), 64) == scans


def test_what_follows_the_image_does_not_count(astronaut):
    film = np.random.default_rng(0).bytes(2_000_000)
    assert film.count(b"\xff\xda") > 10
    assert count_scans(jpeg(astronaut) + film, 64) == 1


def test_counting_stops_above_the_limit(astronaut):
    start = jpeg(astronaut, progressive=True).split(b"\xff\xd9")[0]
    assert count_scans(start + b"\xff\xda\x00\x03x" * 100_000, 64) == 65


@pytest.mark.parametrize("marker", [b"\xff\x01", b"\xff\xd8", b"\xff\xd0"])
def test_a_marker_that_stands_alone_hides_no_scans(astronaut, marker):
    start = jpeg(astronaut).split(b"\xff\xd9")[0]
    hidden = marker + b"\xff\xda\x00\x03x" * 30
    assert count_scans(start + hidden, 64) == 31


@given(st.binary(max_size=200))
def test_any_bytes_have_a_count(data):
    assert 0 <= count_scans(b"\xff\xd8" + data, 5) <= 6
    assert count_scans(b"\x89P" + data, 5) == 0

"""Chunks are counted as they lie in the file."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossfer.images.cost.png import count_chunks, fault


def png(mode: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)).convert(mode).save(
        buffer, "PNG", **options
    )
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_is_usually_written_has_few(mode):
    data = png(mode, dpi=(72, 72))
    assert 4 <= count_chunks(data, 1000) < 100
    assert fault(data) is None


def test_all_chunks_count_up_to_the_limit():
    data = png("L")
    more = data[:33] + chunk(b"tEXt", b"a\0b") * 50 + data[33:]
    assert count_chunks(more, 1000) == count_chunks(data, 1000) + 50
    assert count_chunks(more, 7) == 8


def test_more_than_65536_are_too_many():
    data = png("L")
    assert "at most 65,536 chunks" in str(fault(data[:33] + chunk(b"abCd") * 65_536 + data[33:]))


@given(st.binary(max_size=200))
def test_any_bytes_have_a_count(data):
    assert count_chunks(data, 5) == 0
    assert 0 <= count_chunks(b"\x89PNG\r\n\x1a\n" + data, 5) <= 6


def test_what_follows_the_image_does_not_count():
    assert fault(png("L") + bytes(900_000)) is None

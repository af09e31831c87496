"""Which BMP files have runs."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossfer.images.cost.bmp import fault, is_run_length_encoded


def header(size: int, compression: int) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<I", size) + bytes(12) + struct.pack("<I", compression)


@pytest.mark.parametrize("size", [40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize(("compression", "runs"), [(0, False), (1, True), (2, True), (3, False)])
def test_the_compression_tells(size, compression, runs):
    assert is_run_length_encoded(header(size, compression)) == runs


def test_the_header_of_os2_has_no_compression():
    assert not is_run_length_encoded(header(12, 1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_is_usually_written_has_no_runs(mode):
    buffer = BytesIO()
    Image.new(mode, (9, 7)).save(buffer, "BMP")
    assert not is_run_length_encoded(buffer.getvalue())


@given(st.binary(max_size=60))
def test_other_bytes_have_none(data):
    assert not is_run_length_encoded(data[:1] + b"x" + data)
    assert is_run_length_encoded(b"BM" + data) in {True, False}


@pytest.mark.parametrize(
    ("width", "height", "large"), [(1000, 1000, False), (1001, -1000, True), (9, 9, False)]
)
def test_only_large_ones_are_refused(width, height, large):
    data = b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, width, height, 1, 8, 1)
    assert (fault(data) is not None) == large

"""How long the lists of TIFF files are."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crossfer.images.cost.tiff import most_values


def tiff(order: str, count: int, kind: int = 4) -> bytes:
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}HHHII", 1, 273, kind, count, 26) + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_longest_list_of_numbers_counts(order):
    assert most_values(tiff(order, 8_300_000)) == 8_300_000
    assert most_values(tiff(order, 8_300_000, kind=7)) == 0  # bytes


@pytest.mark.parametrize("order", ["<", ">"])
def test_big_tiff_counts_in_eight_bytes(order):
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    assert most_values(head + struct.pack(f"{order}QHHQQ", 1, 273, 3, 70_000, 0)) == 70_000


WRITTEN = [
    (mode, compression) for mode in ("1", "L", "P", "RGB", "RGBA") for compression in ("raw", "tiff_lzw")
]


@pytest.mark.parametrize(("mode", "compression"), [*WRITTEN, ("L", "jpeg"), ("RGB", "jpeg")])
def test_what_is_usually_written_has_few(mode, compression):
    buffer = BytesIO()
    Image.new(mode, (3000, 2000)).save(buffer, "TIFF", compression=compression)
    assert most_values(buffer.getvalue()) <= 2000


@given(st.binary(max_size=80), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b""]))
def test_damaged_ones_have_some_number(data, head):
    assert most_values(head + data) >= 0

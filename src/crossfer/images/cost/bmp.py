"""Whether a BMP's pixels are run-length encoded, told without decoding it."""

from __future__ import annotations

from crossfer.images.cost.limits import MAX_RUN_PIXELS

_OS2_HEADER = 12  # the only header without a field for the compression
_RLE8, _RLE4 = 1, 2


def fault(data: bytes) -> str | None:
    """Says so where a large BMP has runs: Pillow decodes them in Python, a second for two megapixels."""
    width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
    if width * height <= MAX_RUN_PIXELS or not is_run_length_encoded(data):
        return None
    return "expected a BMP without compression, found a large run-length encoded one; save it as PNG"


def is_run_length_encoded(data: bytes) -> bool:
    """Whether a file is a BMP with runs (BI_RLE8 or BI_RLE4 in its BITMAPINFOHEADER).

    Bytes that are no BMP are not.
    """
    header, compression = (int.from_bytes(data[place : place + 4], "little") for place in (14, 30))
    return data[:2] == b"BM" and header != _OS2_HEADER and compression in (_RLE8, _RLE4)

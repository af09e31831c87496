"""What somebody may send to do harm: the process lives on, and nothing of its inside is told."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from crossfer.images.read import ImageError, decode, open_image, to_pixels
from crossfer.serve.service import Service
from serve.test_service import is_problem, post
from support.live import process, running

KINDS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


def jpeg(width: int, height: int, scans: int = 1) -> bytes:
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\x01\x00\x00\x00\x00"
    return b"\xff\xd8" + frame + scan * scans + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    size = (width - 1) | (height - 1) << 14
    body = b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", size) + bytes(5)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width: int, height: int) -> bytes:
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (279, 4, 8),
    ]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + fields + bytes(4)


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    )


def bmp_of_runs(side: int, compression: int = 1, header: int = 40) -> bytes:
    """A whole BMP of a few bytes a row: one pixel, and the rest is skipped (RLE8 is 1, RLE4 2)."""
    runs = b"\x01\x80\x00\x00" * side + b"\x00\x01"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256 if compression == 1 else 16))
    start = 14 + header + len(palette)
    fields = struct.pack(
        "<IiiHHIIiiII", header, side, side, 1, 8 // compression, compression, len(runs), *[0] * 4
    )
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(runs), 0, 0, start)
        + fields.ljust(header, b"\0")
        + palette
        + runs
    )


def many_scans(scans: int) -> bytes:
    """A whole JPEG whose last scan comes again and again; a decoder goes over all pixels for each."""
    buffer = BytesIO()
    Image.linear_gradient("L").save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    end = data.rindex(b"\xff\xd9")
    last = data[data.rindex(b"\xff\xda", 0, end) : end]
    return data[:end] + last * scans + data[end:]


BOMBS = {
    "png of 3.6 gigapixels": png(60_000, 60_000),
    "png of 4e18 pixels": png(2**31 - 1, 2**31 - 1),
    "png with a text that grows": png(
        8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000))), pixels=bytes(200)
    ),
    "png with a profile that grows": png(
        8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(90_000_000))), pixels=bytes(200)
    ),
    "png whose pixels grow beyond it": png(8, 8, pixels=bytes(90_000_000)),
    "png without pixels": png(1000, 1000),
    "jpeg of 4 gigapixels": jpeg(65_535, 65_535),
    "jpeg of 100,000 scans without tables": jpeg(5000, 5000, scans=100_000),
    "jpeg of 100 scans": many_scans(100),
    "jpeg of 700,000 segments": jpeg(8, 8).replace(b"\xff\xc2", b"\xff\xfe\0\2" * 700_000 + b"\xff\xc2"),
    "jpeg of padding": jpeg(8, 8).replace(b"\xff\xc2", b"\xff" * 3_000_000 + b"\xff\xc2"),
    "png of 300,000 chunks": png(8, 8, chunk(b"abCd", b"") * 300_000, pixels=bytes(200)),
    "webp of 268 megapixels": webp(16_384, 16_384),
    "tiff of 1e18 pixels": tiff(10**9, 10**9),
    "bmp of 4e18 pixels": bmp(2**31 - 1, 2**31 - 1),
    "bmp of negative size": bmp(-5, -(2**31)),
    "bmp of runs": bmp_of_runs(1500),
    "gif": b"GIF89a" + b"\xff\xff\xff\xff" + bytes(50),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "zip": b"PK\x03\x04" + bytes(100),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n(/etc/passwd) run",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_problem(client, name):
    before = resident(client)
    response = post(client, BOMBS[name])
    if name != "png whose pixels grow beyond it":  # they are not looked at
        assert is_problem(response, "unusable-image"), response.text
    assert resident(client) - before < 400 << 20
    assert client.get("/readyz").status_code == 200


def test_the_scans_of_that_jpeg_would_be_decoded():
    assert decode(many_scans(100), "image").shape == (256, 256, 3)


@pytest.mark.parametrize("compression", [1, 2])
@pytest.mark.parametrize("header", [40, 52, 56, 64, 108, 124])
def test_small_bmps_of_runs_are_answered_and_large_ones_are_not(client, compression, header):
    small, large = (bmp_of_runs(side, compression, header) for side in (8, 1001))
    assert decode(small, "image").shape == (8, 8, 3)
    assert post(client, small).status_code == 200
    response = post(client, large)
    assert is_problem(response, "unusable-image")
    assert "found a large run-length encoded one" in response.json()["detail"]


def resident(client) -> float:
    (line,) = (
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("process_resident_memory_bytes")
    )
    return float(line.split()[1])


def encoded(kind: str) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


WHOLE = {kind: encoded(kind) for kind in KINDS}
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12)


def broken(kind: str, cut: float, changed: list[tuple[float, int]], tail: bytes) -> bytes:
    data = bytearray(WHOLE[kind][: int(cut * len(WHOLE[kind])) + 1])
    for place, value in changed:
        data[int(place * len(data))] = value
    return bytes(data) + tail


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KINDS), st.floats(0, 1), changes, st.binary(max_size=20))
def test_damaged_files_decode_or_are_image_errors(kind, cut, changed, tail):
    try:
        with open_image(broken(kind, cut, changed, tail), "image", 1_000_000) as image:
            assert to_pixels(image, "image").ndim == 3
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KINDS), st.floats(0.2, 1), changes)
def test_damaged_files_are_answered(client, kind, cut, changed):
    response = post(client, broken(kind, cut, changed, b""))
    assert response.status_code == 200 or is_problem(response, "unusable-image")


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "/etc/passwd",
        "..\\..\\windows\\system32",
        "a\x00b",
        "x" * 5000,
        "\x1b[2J\r\nSet-Cookie: a=b",
        "<img src=x onerror=alert(1)>",
        "ünïcödé 文件 \U0001f600",
        "",
        "%2e%2e%2f%n%s{0}",
    ],
)
def test_names_lead_nowhere(client, photo, name):
    response = client.post("/v1/recognize", files=[("image", (name or " ", photo))])
    assert response.status_code in {200, 400}
    if response.status_code == 200:
        (image,) = response.json()["images"]
        assert len(image["name"]) <= 120
        assert image["name"].isprintable()
        assert len(image["faces"]) == 1
    assert not Path("passwd").exists()


def test_a_form_that_is_slow_to_split_does_not_hold_up_others(client):
    """Sixteen megabytes of what might begin a boundary, while the probes are asked."""
    body = (
        b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\n"
        + b"\r\n--" * 4_000_000
        + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.post, "/v1/recognize", content=body, headers=headers)
        while not slow.done():
            assert client.get("/healthz", timeout=5).status_code == 200
        assert is_problem(slow.result(), "unusable-image")


def test_a_storm_of_bad_requests_leaves_the_process_as_it_was(tmp_path, tiny_model, photo):
    """Nothing is logged about any of it, and what is asked properly meanwhile is answered."""
    with process(tmp_path / "log", "--model", tiny_model, "--detector", "none") as server:
        import httpx

        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda data: post(client, data), [*BOMBS.values(), photo] * 3))
            assert {answer.status_code for answer in answers} == {200, 422}
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            assert client.post("/v1/recognize", content=b"no parts", headers=headers).status_code == 400
            assert post(client, photo).status_code == 200
        assert server.popen.poll() is None
        assert len(server.log.read_text().splitlines()) == 1


def test_an_answer_is_the_same_after_all_of_it(model, photo):
    with running(Service(model)) as client:
        before = post(client, photo).json()
        for bomb in BOMBS.values():
            post(client, bomb, photo)
        assert post(client, photo).json() == before

"""Files that are no image that is read are named for what they are."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, features

from crossfer.images.read import FORMATS, ImageError, load_image
from crossfer.images.signatures import what_it_is
from support.clips import background, write_clip


def picture(kind: str) -> bytes:
    buffer = BytesIO()
    Image.new("L", (40, 30)).save(buffer, kind)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera's raw file"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "an MP4 or QuickTime film"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "a sound file"),
        (b"ID3\x04\0\0", "a sound file"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "a Matroska or WebM film"),
        (b"RIFF\x10\0\0\0AVI LIST", "an AVI film"),
        (picture("GIF"), "a GIF picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (picture("JPEG2000") if features.check("jpg_2000") else b"\xffO\xffQ", "a JPEG 2000 picture"),
        (b"8BPS\0\1", "a Photoshop document"),
        (picture("ICO"), "an icon"),
        (picture("PDF"), "a PDF document"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
        (b"<html><body>", "a web page"),
        (zipped(), "a zip archive"),
        (tarred(), "a packed archive"),
        (gzip.compress(b"a"), "a packed archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"\xef\xbb\xbf<!doctype HTML>", "a web page"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "an AVIF picture"),
        (b"\xff\xd8\xff\xe0", "a damaged or unusual JPEG"),
        (picture("PNG")[:12], "a damaged PNG"),
        (picture("WEBP")[:12], "a damaged WebP"),
        (picture("BMP")[:12], "a damaged BMP"),
        (b"hello", "something else"),
        (b"<htmlx>", "something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # archives and documents hold the time of day
)
def test_what_a_file_is_is_said(data, what):
    assert what_it_is(data)[0] == what
    with pytest.raises(ImageError, match=f"found {what}; "):
        load_image(data)


def test_a_film_is(tmp_path: Path):
    film = tmp_path / "film.mp4"
    write_clip(film, [background()] * 3)
    with pytest.raises(ImageError, match="found an MP4 or QuickTime film; use crossfer video"):
        load_image(film)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [12, 40])
def test_a_damaged_image_is_not_called_anything_else(kind, size):
    with pytest.raises(ImageError, match=r"truncated or corrupt|found a damaged"):
        load_image(picture(kind)[:size])

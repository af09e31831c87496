"""What files are that are no image in a format that is read, told from how they begin."""

from __future__ import annotations

import re

_CONVERT = "convert it to JPEG or PNG"
_AGAIN = "obtain it again, or save it anew"
_NO_IMAGE = "name an image file"
_SIGNATURES = [
    (re.compile(pattern, re.DOTALL), what, remedy)
    for pattern, what, remedy in (
        (rb"....ftyp.{0,40}avi[fs]", "an AVIF picture", _CONVERT),
        (rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "a HEIC picture", _CONVERT),
        (rb"....ftypcrx ", "a camera's raw file", _CONVERT),
        (rb"....ftypM4[AB] |ID3|RIFF....WAVE|fLaC", "a sound file", _NO_IMAGE),
        (rb"....ftyp", "an MP4 or QuickTime film", "use crossfer video"),
        (rb"\x1aE\xdf\xa3", "a Matroska or WebM film", "use crossfer video"),
        (rb"RIFF....AVI ", "an AVI film", "use crossfer video"),
        (rb"GIF8[79]a", "a GIF picture", _CONVERT),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
        (rb"\xffO\xffQ|\0\0\0\x0cjP  ", "a JPEG 2000 picture", _CONVERT),
        (rb"8BPS", "a Photoshop document", _CONVERT),
        (rb"\0\0\x01\0", "an icon", _CONVERT),
        (rb"%PDF-", "a PDF document", "save its pictures as JPEG or PNG"),
        (rb"\s*(<\?xml.{0,500})?<svg[\s>]", "an SVG drawing", _CONVERT),
        (rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)[\s>])", "a web page", _NO_IMAGE),
        (rb"PK\x03\x04|PK\x05\x06", "a zip archive", "unpack it first, or use crossfer score"),
        (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", "a packed archive", "unpack it first"),
        (rb"\xff\xd8\xff", "a damaged or unusual JPEG", _AGAIN),
        (rb"\x89PNG", "a damaged PNG", _AGAIN),
        (rb"RIFF....WEBP", "a damaged WebP", _AGAIN),
        (rb"II[*+]\0|MM\0[*+]", "a damaged or unusual TIFF", _AGAIN),
        (rb"BM.{4}\0\0\0\0", "a damaged BMP", _AGAIN),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    )
]  # fmt: skip


def what_it_is(data: bytes) -> tuple[str, str]:
    """What the bytes of a file look like, and what to do about it.

    >>> what_it_is(b"GIF89a")
    ('a GIF picture', 'convert it to JPEG or PNG')
    >>> what_it_is(b"...")
    ('something else', 'name an image file')
    """
    head = data[:1024]
    for pattern, what, remedy in _SIGNATURES:
        if pattern.match(head):
            return what, remedy
    return "something else", _NO_IMAGE

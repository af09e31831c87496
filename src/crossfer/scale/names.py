"""Names of files are bytes, texts in tables are UTF-8: a way from the one to the other that loses nothing."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from crossfer.printable import printable, without_password

_LOCAL = re.compile(rb"\A(file|local)://")
_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz4"})
_ESCAPE = re.compile(rb"\\(\\|x[0-9a-f]{2})")


def to_text(name: bytes) -> tuple[str, bool]:
    r"""A name as text, and whether it had to be escaped.

    A name in UTF-8 stays as it is. In any other each byte that is not UTF-8 becomes ``\xNN`` and each
    backslash two, so that ``to_bytes`` gives the name back.

    >>> to_text("café.jpg".encode()), to_text(b"caf\xe9.jpg")
    (('café.jpg', False), ('caf\\xe9.jpg', True))
    """
    try:
        return name.decode("utf-8"), False
    except UnicodeDecodeError:
        return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"), True


def to_bytes(text: str, escaped: bool) -> bytes:
    r"""The inverse of ``to_text``.

    >>> to_bytes("caf\\xe9.jpg", escaped=True)
    b'caf\xe9.jpg'
    """
    name = text.encode("utf-8")
    return _ESCAPE.sub(_unescape, name) if escaped else name


def shown(name: bytes) -> str:
    """A name for messages and files that are passed on: without the user and password of an address."""
    return without_password(printable(to_text(name)[0]))


def is_address(name: bytes) -> bool:
    """Whether a name is an fsspec address, such as ``s3://bucket/photo.jpg``, rather than a path."""
    return b"://" in name


def input_name(given: str) -> bytes:
    """An input as it was given on the command line, as bytes; ``file://`` is a path like any other."""
    local = _without_scheme(os.fsencode(given))
    return local.rstrip(b"/") if is_address(local) else os.path.abspath(local)


def beside(table: bytes, name: bytes) -> bytes:
    """What a name in a list or table means: an address, a path, or one relative to the table's folder.

    ``file://`` is a path like any other here too. A path is as the listing of its folder has it, without
    ``.`` and ``..``.
    """
    local = _without_scheme(name)
    path = local if is_address(local) else os.path.join(os.path.dirname(table), local)
    if is_address(path) or b"\0" in path:  # no file has a zero byte in its name
        return path
    if b"/../" not in path:
        return os.path.normpath(path)
    folder, base = os.path.split(path)
    return os.path.join(_folder(folder), base)


@lru_cache(maxsize=128)  # a list names many images of few folders, and each question goes to the disk
def _folder(path: bytes) -> bytes:
    """A folder without ``..``; if one leads out of a link to elsewhere, without links too."""
    plain, real = os.path.normpath(path), os.path.realpath(path)
    return plain if os.path.realpath(plain) == real else real


def _without_scheme(name: bytes) -> bytes:
    """A path that was written as an address; only as a path it is checked to be a regular file."""
    return _LOCAL.sub(b"", name)


def suffix(name: bytes) -> str:
    """The last suffix in small letters, both of ``.tar.gz``; empty if there is none."""
    base = name[name.rfind(b"/") + 1 :].lower().decode("utf-8", "replace")
    if base.startswith("."):
        return ""
    stem, ending = os.path.splitext(base)
    return ".tar" + ending if ending in _PACKED and stem.endswith(".tar") else ending


def _unescape(match: re.Match[bytes]) -> bytes:
    found = match[1]
    return b"\\" if found == b"\\" else bytes([int(found[1:], 16)])

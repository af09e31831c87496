"""Texts of others, such as names of files, on the way to a terminal or to a file that is passed on."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    r"""The text with what would move the cursor, change colours or turn the writing round escaped.

    >>> printable("caf\xe9 \x1b[2J.jpg")
    'café \\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_password(text: str) -> str:
    """The text with the user and password of each address in it left out.

    >>> without_password("rtsp://admin:secret@camera/1")
    'rtsp://camera/1'
    """
    return re.sub(r"(://)[^/]*@", r"\1", text)

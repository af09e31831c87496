"""Texts of others, such as names of files, on the way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with what would move the cursor, change colours or turn the writing round escaped.

    >>> printable("caf\xe9 \x1b[2J.jpg")
    'café \\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

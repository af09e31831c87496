"""Texts on the way to a terminal or a file passed on: those of others made harmless, numbers in words."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    r"""The text with what would move the cursor, change colours or turn the writing round escaped.

    >>> printable("caf\xe9 \x1b[2J.jpg")
    'café \\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(error: BaseException, place: object = None) -> str:
    r"""An error's message on one line, led by the place it concerns if it does not name it itself.

    >>> one_line(ValueError("a  b.jpg: no image,\n    but text"), "a  b.jpg")
    'a  b.jpg: no image, but text'
    """
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    name = "" if place is None else str(place)
    named = bool(name) and name in message
    if named:  # its spaces and line breaks are its own; no path holds a NUL
        message = message.replace(name, "\0")
    message = " ".join(filter(None, map(str.strip, message.split("\n")))) or type(error).__name__
    if named:
        return printable(message.replace("\0", name))
    return printable(f"{name}: {message}" if name else message)


def without_password(text: str) -> str:
    """The text with the user and password of each address in it left out.

    >>> without_password("rtsp://admin:secret@camera/1")
    'rtsp://camera/1'
    """
    return re.sub(r"(://)[^/]*@", r"\1", text)


def counted(number: int, noun: str) -> str:
    """A number of things, in words.

    >>> counted(1, "face"), counted(1200, "face")
    ('1 face', '1,200 faces')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

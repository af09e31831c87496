"""What can go wrong: with one image, which becomes a row, and with a run, which stops it."""

from __future__ import annotations

from typing import Literal

# What the column ``cause`` may say, and what is meant by it.
Cause = Literal[
    "missing",  # no such file, though it was listed
    "permission",  # reading it is not allowed
    "not a file",  # a folder, device, pipe or socket has that name
    "reading",  # the file or its storage answered with another error
    "archive",  # the archive that holds it, or the member, is damaged, a link or path, or cannot be unpacked
    "too large",  # more bytes than an image may have
    "decoding",  # empty, no image, damaged, of a kind that is not read, or too much for the memory: see error
    "recognising",  # the detector failed on it, as for want of memory
    "crash",  # it ended the process that worked on it, twice
    "duplicate",  # named before: scored there, and not again
    "listing",  # a folder that could not be listed, or a row of a list that names nothing
]


class ScoreError(ValueError):
    """A run that cannot start or go on; the message says why and what to do."""


class InputGoneError(ScoreError):
    """What was listed can no longer be read at all, as when a mount has vanished; it gets no row."""


class Fault(Exception):  # noqa: N818 - it becomes a row, not a failure of the run
    """Why one image has no answer.

    Args:
        cause: the kind of it.
        message: one sentence: what was expected, what was found.
    """

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(cause, message)
        self.cause: Cause = cause
        self.message = message

"""Options of a few values: what may be chosen is said once, by the option's type."""

from __future__ import annotations

from typing import Any, get_args


def one_of(name: str, value: str, choices: Any) -> None:
    """Refuse what an option does not take.

    >>> from typing import Literal
    >>> one_of("size", "huge", Literal["small", "large"])
    Traceback (most recent call last):
    ValueError: size must be 'small' or 'large', got 'huge'

    Args:
        name: of the option.
        value: that was given.
        choices: its type, a ``Literal`` of two values or more.

    Raises:
        ValueError: if the value is none of them.
    """
    *others, last = map(repr, get_args(choices))
    if value not in get_args(choices):
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")

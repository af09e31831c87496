"""Dataclasses as JSON holds them, and back: by the types of their fields, so that none is listed twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

LARGEST = (2 - 2.0**-23) * 2.0**127  # of any number: that of float32, in which networks compute
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def to_plain(value: Any, digits: int | None = None) -> Any:
    """Objects, lists and scalars, as JSON has them.

    Args:
        value: a dataclass, or what is made of such, mappings, lists, tuples and scalars.
        digits: round numbers to so many behind the point; None leaves them as they are.

    >>> to_plain({"interval": (0.25, 1 / 3)}, digits=2)
    {'interval': [0.25, 0.33]}
    """
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name), digits) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, digits) for item in value]
    return value if digits is None or not isinstance(value, float) else round(value, digits)


def from_plain(kind: Any, value: Any, place: str, *, strict: bool = True) -> Any:
    """The inverse of ``to_plain``, of a value that was read from JSON.

    Kinds are checked here; what is in range a dataclass says itself, when it is made. A whole number is a
    number too, but true is none. What is not there counts as null, which has to be one of the kinds.

    >>> from_plain(tuple[float, float], [1, 0.5], "interval")
    (1.0, 0.5)

    Args:
        kind: what is wanted: a dataclass; str, int, float, bool or Any; a tuple, mapping or Counter of such;
            or one of them ``| None``.
        value: what was read.
        place: names it in messages.
        strict: refuse keys that a dataclass does not have, instead of passing over them.

    Raises:
        ValueError: naming the place, what was expected there and what was found.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is UnionType:
        return None if value is None else from_plain(inner[0], value, place, strict=strict)
    if is_dataclass(kind):
        return _dataclass(kind, value, place, strict)
    if origin is tuple:
        return _tuple(inner, value, place, strict)
    if origin is not None:
        return _mapping(kind, value, place, strict)
    if not _is(value, kind):
        raise ValueError(f"{place}: expected {_NAMES[kind]}, found {shown(value)}")
    return float(value) if kind is float else value


def is_number(value: Any) -> bool:
    """Whether it is an int or a float that is finite in float32."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def shown(value: Any) -> str:
    """What was found, on little space."""
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _dataclass(kind: Any, value: Any, place: str, strict: bool) -> Any:
    values, kinds = _object(value, place), _kinds(kind)
    names = [field.name for field in fields(kind)]
    if strict and (unknown := sorted(values.keys() - set(names))):
        raise ValueError(f"{place}: expected the keys {', '.join(names)}, found also {shown(unknown[0])}")
    read = {
        name: from_plain(kinds[name], values.get(name), f"{place}.{name}", strict=strict) for name in names
    }
    return kind(**read)


_kinds = cache(get_type_hints)  # evaluates text, which takes longer than all the rest


def _tuple(kinds: tuple[Any, ...], value: Any, place: str, strict: bool) -> tuple[Any, ...]:
    endless = kinds[-1] is Ellipsis
    if not isinstance(value, list) or not (endless or len(value) == len(kinds)):
        count = "" if endless else f" of {len(kinds)}"
        raise ValueError(f"{place}: expected a list{count}, found {shown(value)}")
    each = kinds[:1] * len(value) if endless else kinds
    return tuple(
        from_plain(kind, item, f"{place}[{i}]", strict=strict)
        for i, (kind, item) in enumerate(zip(each, value, strict=True))
    )


def _mapping(kind: Any, value: Any, place: str, strict: bool) -> Any:
    item_kind = int if get_origin(kind) is Counter else get_args(kind)[1]
    read = {
        _key(get_args(kind)[0], key, place): from_plain(
            item_kind, item, f"{place}[{shown(key)}]", strict=strict
        )
        for key, item in _object(value, place).items()
    }
    return Counter(read) if get_origin(kind) is Counter else read


def _key(kind: Any, key: str, place: str) -> Any:
    """A key, which JSON has as text whatever it was."""
    try:
        return kind(key)
    except ValueError as error:
        raise ValueError(f"{place}: expected {_NAMES[kind]} as a key, found {shown(key)}") from error


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: expected an object, found {shown(value)}")
    return value


def _is(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return is_number(value) and (kind is float or isinstance(value, int))
    return isinstance(value, kind)

"""The protocol buffer wire format, as far as changing a few fields of an ONNX file needs it.

The ``onnx`` package could do that too, but it is no part of the runtime install.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator


def message(number: int, payload: bytes) -> bytes:
    """A length-delimited field with its tag and length."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field of a message: its number, its payload (empty unless length-delimited), and all its bytes.

    Raises:
        IndexError: if the bytes are no whole message.
    """
    at = 0
    while at < len(data):
        start = at
        tag, at = _read_varint(data, at)
        length = 0
        match tag & 7:
            case 0:
                _, at = _read_varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _read_varint(data, at)
            case 5:
                at += 4
            case wire_type:
                raise IndexError(f"wire type {wire_type}")
        if at + length > len(data):
            raise IndexError("field beyond the end")
        yield tag >> 3, data[at : at + length], data[start : at + length]
        at += length

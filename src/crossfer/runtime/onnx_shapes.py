"""Frees the input size of an ONNX file that declares a fixed one, by way of the protocol buffer wire format.

The CenterFace file declares its input as 10 x 3 x 32 x 32 although the network is fully convolutional. The
``onnx`` package could rewrite that, but it is no part of the runtime install, and the few bytes concerned are
easily found.
"""

from __future__ import annotations

from collections.abc import Iterator

# Field numbers of onnx.proto3: ModelProto.graph; GraphProto.input and .output; ValueInfoProto.name; and the
# way from a ValueInfoProto to its dimensions: .type, TypeProto.tensor_type, Tensor.shape,
# TensorShapeProto.dim.
GRAPH = 7
INPUT, OUTPUT = 11, 12
NAME = 1
PATH_TO_DIMENSIONS = (2, 1, 2, 1)


def free_shapes(model: bytes, input_name: str) -> bytes:
    """The same model with every dimension of one input and of all outputs unknown.

    Graph inputs other than ``input_name`` are dropped: old exporters list the weights there, which keeps ONNX
    Runtime from folding batch normalisation into the convolutions.

    Args:
        model: content of an ``.onnx`` file without external data.
        input_name: the one real input of the graph.

    Raises:
        ValueError: if the bytes are no ONNX model with that input.
    """
    try:
        parts = [
            _message(GRAPH, _free_graph(payload, input_name.encode())) if number == GRAPH else raw
            for number, payload, raw in _fields(model)
        ]
    except IndexError:
        parts = [model]
    freed = b"".join(parts)
    if freed == model:
        raise ValueError(f"expected an ONNX model with an input {input_name!r}, found other bytes")
    return freed


def _free_graph(graph: bytes, input_name: bytes) -> bytes:
    parts = []
    for number, payload, raw in _fields(graph):
        if number == INPUT and _name(payload) != input_name:
            continue
        parts.append(_message(number, _free_dimensions(payload)) if number in (INPUT, OUTPUT) else raw)
    return b"".join(parts)


def _free_dimensions(message: bytes, path: tuple[int, ...] = PATH_TO_DIMENSIONS) -> bytes:
    """The message with every dimension at the end of ``path`` emptied: one that says nothing is unknown."""
    if not path:
        return b""
    return b"".join(
        _message(number, _free_dimensions(payload, path[1:])) if number == path[0] else raw
        for number, payload, raw in _fields(message)
    )


def _name(value_info: bytes) -> bytes:
    return next((payload for number, payload, _ in _fields(value_info) if number == NAME), b"")


def _message(number: int, payload: bytes) -> bytes:
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


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field of a message: its number, its payload (empty unless length-delimited), and all its bytes."""
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

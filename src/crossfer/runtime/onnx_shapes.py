"""Frees the input size of an ONNX file that declares a fixed one, by way of the protocol buffer wire format.

The CenterFace file declares its input as 10 x 3 x 32 x 32 although the network is fully convolutional. The
``onnx`` package could rewrite that, but it is no part of the runtime install, and the few bytes concerned are
easily found.
"""

from __future__ import annotations

from crossfer.runtime.protobuf import fields, message

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
            message(GRAPH, _free_graph(payload, input_name.encode())) if number == GRAPH else raw
            for number, payload, raw in fields(model)
        ]
    except IndexError:
        parts = [model]
    freed = b"".join(parts)
    if freed == model:
        raise ValueError(f"expected an ONNX model with an input {input_name!r}, found other bytes")
    return freed


def _free_graph(graph: bytes, input_name: bytes) -> bytes:
    parts = []
    for number, payload, raw in fields(graph):
        if number == INPUT and _name(payload) != input_name:
            continue
        parts.append(message(number, _free_dimensions(payload)) if number in (INPUT, OUTPUT) else raw)
    return b"".join(parts)


def _free_dimensions(shape: bytes, path: tuple[int, ...] = PATH_TO_DIMENSIONS) -> bytes:
    """The message with every dimension at the end of ``path`` emptied: one that says nothing is unknown."""
    if not path:
        return b""
    return b"".join(
        message(number, _free_dimensions(payload, path[1:])) if number == path[0] else raw
        for number, payload, raw in fields(shape)
    )


def _name(value_info: bytes) -> bytes:
    return next((payload for number, payload, _ in fields(value_info) if number == NAME), b"")

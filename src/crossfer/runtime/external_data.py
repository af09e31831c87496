"""Weights that an ONNX file does not hold itself, found by way of the protocol buffer wire format."""

from __future__ import annotations

from collections.abc import Iterator

from crossfer.runtime.protobuf import fields

# What leads to a tensor, by the field numbers of onnx.proto3: of ModelProto graph and functions; of
# GraphProto node, initializer and sparse_initializer; of FunctionProto node; of NodeProto attribute; of
# AttributeProto t, g, tensors, graphs, sparse_tensor and sparse_tensors; of SparseTensorProto values and
# indices.
_WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# TensorProto.external_data and .data_location, which decides whether the former counts;
# StringStringEntryProto.key and .value.
_EXTERNAL, _LOCATION, _KEY, _VALUE = 13, 14, 1, 2
_DEFAULT = bytes([_LOCATION << 3, 0])  # the field as it is written; EXTERNAL can be spelt in several ways


def external_files(data: bytes, kind: str = "model") -> Iterator[str]:
    """The file that each tensor kept outside names, whether it is there or not.

    Args:
        data: content of an ``.onnx`` file, or of one of its messages.
        kind: which message it is.

    Raises:
        IndexError: if the bytes are no whole message.
    """
    if kind == "tensor":
        yield from _named_by(data)
        return
    for number, payload, _ in fields(data):
        if inner := _WITHIN[kind].get(number):
            yield from external_files(payload, inner)


def _named_by(tensor: bytes) -> list[str]:
    """The file of a tensor that is kept outside; none of one that is not, whatever it once named.

    A tensor may lie in the file in parts, of which one says that it is outside and another where.
    """
    files, outside = [], False
    for number, payload, whole in fields(tensor):
        if number == _LOCATION:
            outside = whole != _DEFAULT
        elif number == _EXTERNAL:
            entry = {place: value for place, value, _ in fields(payload)}
            if entry.get(_KEY) == b"location":
                files.append(entry.get(_VALUE, b"").decode(errors="replace"))
    return (files or ["unnamed"]) if outside else []

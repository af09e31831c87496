"""The graph that is quantised: folded, its constants shared, and which of its nodes go to eight bits.

Batch norm is folded into the convolution before it, by ONNX Runtime's own optimiser, since between the two
there would be one rounding more. Convolutions go to eight bits, and with them what carries their results to
the next one. The head stays in single precision, so that the evidence still sums to the logits, and so do the
weights of the scales and a last convolution between them and the head, which are small. So does a stem, the
convolution of the pixels and its pool: products over the few channels of an image are no faster as integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger"}
CLIPPING = {"Relu", "Clip"}  # cost nothing in eight bits: they become the end of the range
CARRYING = {"Add", "AveragePool", "Concat", "MaxPool"} | {  # the second half moves values, and no more
    "DepthToSpace",
    "Gather",
    "Reshape",
    "Slice",
    "Transpose",
    "Unsqueeze",
}


def is_quantized(graph: onnx.ModelProto) -> bool:
    """Whether any node of a graph works with eight bits already."""
    return any(node.op_type in QUANTIZED for node in graph.graph.node)


def fold(model: bytes) -> onnx.ModelProto:
    """The same graph with batch norms folded into convolutions, each constant held once, every node named.

    A stem clips after its pool, which comes to the same: rounding then meets the pooled map, a quarter of the
    size, where ONNX Runtime would bring it before the pool.

    Args:
        model: content of an ``.onnx`` file that ONNX Runtime can load.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with TemporaryDirectory(prefix="crossfer-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath)
    _share_constants(graph)
    _clip_after_pool(graph)
    for place, node in enumerate(graph.graph.node):
        node.name = f"{place}_{node.op_type}"  # nodes are chosen by their names, which are free to be missing
    return graph


def _share_constants(graph: onnx.ModelProto) -> None:
    """A graph may use a weight twice, as one with two mirrored views does; folding makes a copy for each."""
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    kept = []
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        name = first.setdefault((values.dtype.str, values.shape, values.tobytes()), tensor.name)
        same[tensor.name] = name
        if name == tensor.name:
            kept.append(tensor)
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    for node in graph.graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]


def _clip_after_pool(graph: onnx.ModelProto) -> None:
    """Conv, Relu, MaxPool of a stem become Conv, MaxPool, Max(0), which no rounding is moved across."""
    stem = _stem(graph)
    if [node.op_type for node in stem] != ["Conv", "Relu", "MaxPool"]:
        return
    convolution, clip, pool = stem
    pooled, highest = pool.output[0], f"{pool.output[0]}_pooled"
    pool.input[0], pool.output[0] = convolution.output[0], highest
    zero = numpy_helper.from_array(np.zeros((), np.float32), f"{pooled}_zero")
    graph.graph.initializer.append(zero)
    nodes = [node for node in graph.graph.node if node is not clip]
    place = next(place for place, node in enumerate(nodes) if node is pool) + 1
    nodes.insert(place, helper.make_node("Max", [highest, zero.name], [pooled]))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _stem(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The first convolution and what follows it up to its pool, where nothing else reads on the way."""
    nodes = graph.graph.node
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = [node for node in nodes if node.op_type == "Conv"][:1]
    while found and found[-1].op_type != "MaxPool":
        following = readers.get(found[-1].output[0], [])
        if len(following) != 1 or following[0].op_type not in CLIPPING | {"MaxPool"}:
            return []
        found.append(following[0])
    return found


def eight_bit_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that go to eight bits, in the graph's order; empty where there is no convolution.

    These are the convolutions that read the image or what comes of other such nodes alone, and those that
    lead to a further one; and of the other nodes that have nothing but eight bits to read, those that clip,
    and those that carry values on to a convolution. A stem is left out.
    """
    stem = {node.name for node in _stem(graph)}
    nodes = [node for node in graph.graph.node if node.name not in stem]
    constants = {tensor.name for tensor in graph.graph.initializer}
    leading = _values_leading_to_convolutions(nodes)
    in_eight_bits = {node.name for node in graph.graph.input}
    chosen = []
    for node in nodes:
        read = [name for name in node.input if name and name not in constants]
        leads = not leading.isdisjoint(node.output)
        if node.op_type == "Conv":
            takes = leads or read[0] in in_eight_bits
        else:
            takes = bool(read) and in_eight_bits.issuperset(read)
            takes = takes and (node.op_type in CLIPPING or (leads and node.op_type in CARRYING))
        if takes:
            in_eight_bits.update(node.output)
            chosen.append(node.name)
        if takes and node.op_type == "Conv":
            in_eight_bits.update(read)  # rounded for this convolution, so other readers get it rounded too
    return chosen if any(node.op_type == "Conv" and node.name in chosen for node in nodes) else []


def convolutions(graph: onnx.ModelProto) -> list[str]:
    """Names of all convolutions."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def _values_leading_to_convolutions(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Values that a convolution reads, directly or through other nodes."""
    found: set[str] = set()
    for node in reversed(nodes):
        if node.op_type == "Conv" or not found.isdisjoint(node.output):
            found.update(node.input)
    return found

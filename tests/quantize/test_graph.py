"""Which nodes go to eight bits, on graphs small enough to say so by hand; and folding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from crossfer.quantize.graph import convolutions, eight_bit_nodes, fold, is_quantized


def graph_of(*nodes: tuple[str, str, str], output: str = "y") -> onnx.ModelProto:
    """A graph on (2, 4, 4) maps from (operator, inputs, output); ``w`` is a kernel, ``c`` a map."""
    kernel, shift = np.ones((2, 2, 1, 1), np.float32), np.ones((1, 2, 4, 4), np.float32)
    weights = {"w": kernel, "same": kernel, "other": 2 * kernel, "c": shift}
    made = [
        helper.make_node(kind, inputs.split(), [result], name=f"{kind}-{result}")
        for kind, inputs, result in nodes
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 4, 4])
        for name in ("image", output)
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(made, "small", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        pytest.param(
            [("Conv", "image w", "a"), ("Relu", "a", "y")], "Conv-a Relu-y", id="clipping, even at the end"
        ),
        pytest.param(
            [("Conv", "image w", "a"), ("Sigmoid", "a", "y")], "Conv-a", id="others stay in single precision"
        ),
        pytest.param(
            [("Conv", "image w", "a"), ("Add", "a c", "y")], "Conv-a", id="no sum that leads nowhere"
        ),
        pytest.param(
            [("Conv", "image w", "a"), ("Add", "a image", "b"), ("Conv", "b w", "y")],
            "Conv-a Add-b Conv-y",
            id="a residual sum between convolutions",
        ),
        pytest.param(
            [("Conv", "image w", "a"), ("Sigmoid", "a", "b"), ("Conv", "b w", "y")],
            "Conv-a",
            id="a last convolution of what is in single precision stays there",
        ),
        pytest.param(
            [
                ("Conv", "image w", "a"),
                ("Sigmoid", "a", "b"),
                ("Conv", "b w", "d"),
                ("Add", "d b", "e"),
                ("Conv", "e w", "y"),
            ],
            "Conv-a Conv-d Add-e Conv-y",
            id="one that leads to another does not, nor what is rounded for it",
        ),
        pytest.param(
            [
                ("Conv", "image w", "a"),
                ("Relu", "a", "b"),
                ("MaxPool", "b", "d"),
                ("Conv", "d w", "e"),
                ("Conv", "e w", "y"),
            ],
            "Conv-e Conv-y",
            id="not a stem",
        ),
        pytest.param(
            [
                ("Conv", "image w", "a"),
                ("MaxPool", "a", "b"),
                ("Conv", "b w", "d"),
                ("Add", "d b", "e"),
                ("Conv", "e w", "y"),
            ],
            "Conv-d Add-e Conv-y",
            id="but what is made of its rounded pool",
        ),
        pytest.param(
            [("Conv", "image w", "a"), ("MaxPool", "a", "b"), ("Add", "a b", "d"), ("Conv", "d w", "y")],
            "Conv-a MaxPool-b Add-d Conv-y",
            id="no stem where others read before the pool",
        ),
        pytest.param([("Relu", "image", "y")], "", id="nothing without a convolution"),
    ],
)
def test_what_goes_to_eight_bits(nodes: list[tuple[str, str, str]], chosen: str) -> None:
    assert eight_bit_nodes(graph_of(*nodes)) == chosen.split()


def test_a_network_goes_to_eight_bits_but_for_its_head(mirrored: Path) -> None:
    graph = fold(mirrored.read_bytes())
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert kinds["Conv"] == len(convolutions(graph)) > 20
    assert kinds["BatchNormalization"] == 0
    chosen = set(eight_bit_nodes(graph))
    left = Counter(node.op_type for node in graph.graph.node if node.name not in chosen)
    assert left["Conv"] == 2  # the stem's; and the fusion of the scales, between two in single precision
    assert left["MaxPool"] == left["Max"] == 1
    assert left["Relu"] == 0
    assert left["Sigmoid"] == 1
    residual = [node for node in graph.graph.node if node.op_type == "Add" and node.name in chosen]
    assert len(residual) == 8
    assert not is_quantized(graph)


def test_equal_constants_are_held_once() -> None:
    nodes = [("Conv", "image w", "a"), ("Conv", "a same", "b"), ("Conv", "b other", "y")]
    folded = fold(graph_of(*nodes).SerializeToString())
    assert len(folded.graph.initializer) == 2
    image = np.ones((1, 2, 4, 4), np.float32)
    session = onnxruntime.InferenceSession(folded.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.unique(session.run(None, {"image": image})[0]).tolist() == [16]


def test_constants_of_two_types_stay_apart_though_their_bytes_are_equal() -> None:
    graph, second = graph_of(("Add", "image tiny", "a"), ("Gather", "a second", "y")), np.array([1], np.int32)
    for name, value in {"tiny": second.view(np.float32), "second": second}.items():
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    content = fold(graph.SerializeToString()).SerializeToString()
    images = np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"image": images})[0], images[1:])


def test_a_stem_clips_after_its_pool(mirrored: Path) -> None:
    kinds = [node.op_type for node in fold(mirrored.read_bytes()).graph.node]
    first = kinds.index("Conv")
    assert kinds[first : first + 3] == ["Conv", "MaxPool", "Max"]
    assert Counter(kinds)["Max"] == 1


def test_folding_changes_no_answer(mirrored: Path) -> None:
    graph = fold(mirrored.read_bytes())
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    images = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"image": images})
        for content in (mirrored.read_bytes(), graph.SerializeToString())
    ]
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from crossfer.runtime.centerface import INPUT, weights_path
from crossfer.runtime.onnx_shapes import free_shapes


def fixed_model() -> bytes:
    """y = x + w with x declared as 2 x 3, and w listed among the inputs as old exporters do."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "fixed",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", [2, 3]), ("w", [1]))
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(np.array([1.0], np.float32), "w")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()


def test_any_size_may_be_fed_afterwards():
    session = onnxruntime.InferenceSession(
        free_shapes(fixed_model(), "x"), providers=["CPUExecutionProvider"]
    )
    (answer,) = session.run(None, {"x": np.zeros((5, 7), np.float32)})
    assert np.asarray(answer).tolist() == np.ones((5, 7)).tolist()
    assert [node.name for node in session.get_inputs()] == ["x"]


@pytest.mark.parametrize("content", [fixed_model(), weights_path().read_bytes()], ids=["tiny", "centerface"])
def test_only_inputs_and_outputs_change(content):
    before = onnx.load_from_string(content)
    name = INPUT if len(content) > 10_000 else "x"
    after = onnx.load_from_string(free_shapes(content, name))
    onnx.checker.check_model(after)
    assert [node.name for node in after.graph.input] == [name]
    for node in (*after.graph.input, *after.graph.output):
        dimensions = node.type.tensor_type.shape.dim
        assert dimensions
        assert not any(dimension.WhichOneof("value") for dimension in dimensions)
    for model in (before, after):
        model.graph.ClearField("input")
        model.graph.ClearField("output")
    assert before == after


@pytest.mark.parametrize("content", [b"", b"no model at all", fixed_model()[:50]])
def test_other_bytes_are_an_error(content):
    with pytest.raises(ValueError, match="expected an ONNX model with an input 'x'"):
        free_shapes(content, "x")


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_value_error(content):
    try:
        free_shapes(content, "x")
    except ValueError as error:
        assert "expected an ONNX model" in str(error)  # noqa: PT017

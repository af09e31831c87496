"""Sessions do not keep processors busy that others need."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.inference import run_session, session_options


@pytest.mark.parametrize(
    "open_session", [lambda: read_bundle("tiny", threads=2), lambda: CenterFace(threads=2)]
)
def test_detector_and_models_stop_spinning_after_a_run(monkeypatch, open_session):
    seen = []

    def session(model, options, **others):
        seen.append(options)
        return real(model, options, **others)

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_session()
    (options,) = seen
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert options.intra_op_num_threads == 2


def test_one_thread_is_one_thread():
    assert session_options(1).intra_op_num_threads == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Fail("[ONNXRuntimeError] : 1 : FAIL :\nFailed to allocate memory for 4096 bytes"), MemoryError),
        (RuntimeException("std::bad_alloc"), MemoryError),
        (Fail("a node failed\nsomewhere"), OSError),
    ],
)
def test_what_stops_a_run_is_an_error_like_others_in_one_line(error, kind):
    class Session:
        def run(self, *_):
            raise error

    with pytest.raises(kind, match="ONNX Runtime, found") as raised:
        run_session(Session(), ("a",), {"x": np.zeros(1)})  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(raised.value)
    assert str(error).split()[-1] in str(raised.value)


def test_an_index_outside_of_a_tensor_is_told_so():
    node = helper.make_node("Gather", ["x", "index"], ["a"])
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=["n"])
    index = numpy_helper.from_array(np.array([7], np.int64), "index")
    graph = helper.make_graph([node], "outside", [value("x")], [value("a")], [index])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1))
    with pytest.raises(OSError, match=r"found an error .*7"):
        run_session(session, ("a",), {"x": np.zeros(3, np.float32)})

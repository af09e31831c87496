"""Sessions do not keep processors busy that others need."""

from __future__ import annotations

import onnxruntime
import pytest

from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.detector import CenterFace
from crossfer.runtime.inference import session_options


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

"""How ONNX Runtime is asked to work, the same for the detector and for models."""

from __future__ import annotations

import onnxruntime

from crossfer.runtime.cores import inference_threads


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """Options of a session on a CPU.

    Threads that wait for the next run of a session would spin for a while, on processors that the other
    session of the same face needs by then: detector and model in turns are slower on two threads than on one.

    Args:
        threads: of one run; None for as many as the process may use processors.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is an exception; nothing else is told
    options.intra_op_num_threads = inference_threads(threads)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options

"""How ONNX Runtime is asked to work, the same for the detector and for models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, InvalidArgument, RuntimeException

from crossfer.system.cores import inference_threads


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """Options of a session on a CPU.

    Threads that wait for the next run of a session would spin for a while, on processors that the other
    session of the same face needs by then: detector and model in turns are slower on two threads than on one.

    Args:
        threads: of one run, 1 to 1024; None for as many as the process may use processors.

    Raises:
        ValueError: for any other number.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is an exception; nothing else is told
    options.intra_op_num_threads = inference_threads(threads)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def run_session(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Runs a session; what stops it is an error like others, which costs one image and not the whole run.

    Args:
        session: detector or model.
        outputs: names of what to give.
        inputs: by name.

    Raises:
        MemoryError: if there was no memory for it.
        OSError: if anything else went wrong inside ONNX Runtime.
    """
    try:
        return [np.asarray(output) for output in session.run(outputs, inputs)]
    except (Fail, EPFail, InvalidArgument, RuntimeException) as error:
        reason = " ".join(str(error).split())
        if "alloc" in reason.lower():
            raise MemoryError(
                f"expected memory for a run of ONNX Runtime, found too little ({reason})"
            ) from error
        raise OSError(f"expected a run of ONNX Runtime, found an error ({reason})") from error

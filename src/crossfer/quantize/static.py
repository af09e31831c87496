"""Static quantisation: the ranges of all values are measured once, on faces, and stand in the file."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

Method = Literal["minmax", "percentile"]
WeightBits = Literal[7, 8]
METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
PERCENTILE = 99.999  # of the values of each tensor lie inside its range
BATCH = 16  # faces at a time: with "percentile" all values of a batch are in memory at once


def to_eight_bits(
    graph: onnx.ModelProto,
    nodes: list[str],
    faces: np.ndarray,
    *,
    method: Method = "minmax",
    weight_bits: WeightBits = 7,
    progress: Callable[[int], None] = lambda _: None,
) -> bytes:
    """Quantise some nodes of a graph; the others keep single precision.

    Weights are signed and symmetric with a scale for each output channel, activations unsigned with one scale
    and zero point each (Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018). ONNX Runtime runs such a convolution as integer products where
    it finds QuantizeLinear and DequantizeLinear around it.

    Args:
        graph: folded, with the input ``image``.
        nodes: names of those to quantise, at least one.
        faces: (N, C, S, S) float32, what the ranges are measured on.
        method: ``"minmax"``, ranges hold every value seen; ``"percentile"``, all but one in 100,000, for
            networks whose few largest values would leave the others too few steps.
        weight_bits: 7, or 8 for twice as many steps, whose products in pairs x86 processors without VNNI
            cut off at 16 bits, in silence; 64 is the largest weight of which two times 255 still fit.
        progress: called with the number of faces done since the last call.

    Returns:
        Content of an ``.onnx`` file. The same arguments give the same bytes.
    """
    kinds = sorted({node.op_type for node in graph.graph.node if node.name in set(nodes)})
    helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})  # it is folded already
    with TemporaryDirectory(prefix="crossfer-") as folder, _silence():
        output = Path(folder) / "eight-bits.onnx"
        quantize_static(
            graph,
            output,
            _Faces(faces, progress),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=kinds,
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=weight_bits == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            extra_options={"CalibStridedMinMax": 1, "CalibPercentile": PERCENTILE},
        )
        return output.read_bytes()


class _Faces(CalibrationDataReader):
    """Faces in batches, of which ONNX Runtime asks for a range at a time, lest it hold all values at once."""

    def __init__(self, faces: np.ndarray, progress: Callable[[int], None]) -> None:
        self._batches = [faces[i : i + BATCH] for i in range(0, len(faces), BATCH)]
        self._progress = progress
        self._next: Iterator[np.ndarray] = iter(())

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """The batches that are read next."""
        self._next = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        """The next batch of the range, None at its end."""
        batch = next(self._next, None)
        if batch is None:
            return None
        self._progress(len(batch))
        return {"image": batch}


@contextmanager
def _silence() -> Iterator[None]:
    """ONNX Runtime's quantiser prints and logs what no user can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)

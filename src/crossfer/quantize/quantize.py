"""From a bundle to the same model in eight bits, measured against it before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from rich.console import Console

from crossfer.calibration import Calibration, fit_temperature, softmax
from crossfer.console import counting, stderr_console
from crossfer.data.sample import DataError, Dataset
from crossfer.defaults import FEWEST_RANGE_FACES, MAX_LOSS, RANGE_FACES
from crossfer.evaluate.calibrate import with_balance
from crossfer.evaluate.command import predict_with_progress
from crossfer.evaluate.comparison import PairResult, compare_networks
from crossfer.evaluate.predictions import Predictions
from crossfer.evaluate.result import plain
from crossfer.metrics import stated_accuracy
from crossfer.provenance import code_commit
from crossfer.quantize.graph import convolutions, eight_bit_nodes, fold, is_quantized
from crossfer.quantize.static import Method, WeightBits, to_eight_bits
from crossfer.runtime.bundle import (
    Bundle,
    BundleMeta,
    read_bundle,
    resolve_model,
    with_metadata,
    write_bundle,
)
from crossfer.runtime.preprocess import InputContract, preprocess
from crossfer.runtime.recognizer import Recognizer

FEWEST_VALID = 100
EVIDENCE_TOLERANCE = 1e-4  # the sum is in single precision


class QuantizeError(ValueError):
    """A model that cannot be quantised, or one that is not good enough once it is; the message says why."""


@dataclass(frozen=True)
class QuantizeOptions:
    """How to quantise.

    Attributes:
        faces: training faces that the ranges are measured on, each with its mirror image.
        seed: of their choice.
        method: how a range follows from the values seen.
        weight_bits: of a weight, see :func:`crossfer.quantize.static.to_eight_bits`.
        max_loss: validation accuracy that may be lost, in 0..1.
    """

    faces: int = RANGE_FACES
    seed: int = 0
    method: Method = "minmax"
    weight_bits: WeightBits = 7
    max_loss: float = MAX_LOSS


@dataclass(frozen=True)
class Quantized:
    """What was written, and how it compares with what it was made from.

    Attributes:
        path: the new bundle.
        meta: its metadata.
        sizes: bytes of the old file and of the new.
        convolutions: how many are in eight bits, and how many there are.
        faces: training faces used.
        comparison: validation accuracy of both, and the paired interval of the difference.
        agreement: share of validation faces that both answer alike.
        largest_change: largest absolute difference of a logit.
        evidence_error: largest absolute difference between a logit and the sum of its evidence.
        lost_calibration: that of the old bundle, which the new one has not; None if it had none.
    """

    path: Path
    meta: BundleMeta
    sizes: tuple[int, int]
    convolutions: tuple[int, int]
    faces: int
    comparison: PairResult
    agreement: float
    largest_change: float
    evidence_error: float
    lost_calibration: Calibration | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``crossfer quantize --format json`` writes them."""
        others = {"path", "meta", "lost_calibration"}
        about = {name: value for name, value in vars(self).items() if name not in others}
        return plain(
            {
                "output": str(self.path),
                "model": self.meta.name,
                "temperature": self.meta.temperature,
                **about,
                "lost_calibration": self.lost_calibration is not None,
                "provenance": self.meta.provenance["quantized"],
            }
        )


def quantize(
    model: str | Path,
    train: Dataset,
    valid: Dataset,
    output: Path,
    options: QuantizeOptions | None = None,
    *,
    console: Console | None = None,
) -> Quantized:
    """Write a bundle in eight bits, which is used like any other.

    Ranges are measured on training faces; accuracy, its loss and the temperature on validation faces. Labels,
    input contract and provenance are carried over. Prediction sets and abstention are not: they promise
    frequencies that hold for the network that they were fitted on; ``crossfer calibrate`` fits new ones.

    Args:
        model: an embedded model's name, or a bundle's file.
        train: what the model has learnt from: face crops.
        valid: what it has not learnt from, labelled with its classes.
        output: the ``.onnx`` file to write; it appears only if all checks pass.
        options: how; the defaults if not given.
        console: where progress goes; standard error if not given.

    Raises:
        BundleError: if the model cannot be used.
        QuantizeError: if it is quantised already, has no convolution to quantise, would be overwritten, or
            loses more than ``options.max_loss``.
        DataError: if there are too few faces, or one cannot be read.
        ValueError: if the model lacks one of the data's classes.
    """
    options, console = options or QuantizeOptions(), console or stderr_console()
    source, graph, nodes = _open(model, output)
    if len(valid) < FEWEST_VALID:
        raise DataError(
            f"expected at least {FEWEST_VALID} validation faces to measure the loss on, found {len(valid)}"
        )
    rows = _draw(train, options)
    original = Recognizer(source.content, detector="none")  # the file may be another by now
    before = _by_logits(predict_with_progress(original, valid, console))
    faces = _read(train, rows, source.meta.input, console)
    with counting(console, "measuring ranges", len(faces)) as advance:
        content = to_eight_bits(
            graph, nodes, faces, method=options.method, weight_bits=options.weight_bits, progress=advance
        )
    after, evidence_error = _try_out(content, source.meta, valid, faces, console)
    comparison = compare_networks(before, after, (source.meta.name, "int8"))
    _refuse_a_bad_one(comparison, evidence_error, options)
    every = convolutions(graph)
    counts = len(set(every) & set(nodes)), len(every)
    how = {"bits": 8, "weight_bits": options.weight_bits, "convolutions": list(counts), "faces": len(rows)}
    meta = _metadata(source, after, how | _origin(source, comparison, after, train, options))
    write_bundle(content, meta, output)
    return Quantized(
        output,
        meta,
        sizes=(len(source.content), output.stat().st_size),
        convolutions=counts,
        faces=len(rows),
        comparison=comparison,
        agreement=float(np.mean(before.predicted == after.predicted)),
        largest_change=float(np.abs(before.logits - after.logits).max()),
        evidence_error=evidence_error,
        lost_calibration=source.meta.calibration,
    )


def _open(model: str | Path, output: Path) -> tuple[Bundle, onnx.ModelProto, list[str]]:
    """The bundle, its folded graph, and the names of the nodes to quantise."""
    path = resolve_model(model)
    source = read_bundle(path)
    if output.exists() and output.samefile(path):
        raise QuantizeError(f"{output}: is the model itself, which would be lost; name another file to write")
    graph = fold(source.content)
    if is_quantized(graph):
        raise QuantizeError(f"{path}: is quantised already; name the model that it was made from")
    nodes = eight_bit_nodes(graph)
    if not nodes:
        raise QuantizeError(f"{path}: expected convolutions to quantise, found none; use it as it is")
    return source, graph, nodes


def _draw(train: Dataset, options: QuantizeOptions) -> list[int]:
    """Rows of the training faces to measure ranges on; all of them where there are fewer than asked for."""
    if len(train) < FEWEST_RANGE_FACES or options.faces < FEWEST_RANGE_FACES:
        raise DataError(
            f"expected at least {FEWEST_RANGE_FACES} training faces to measure ranges on, "
            f"found {min(len(train), options.faces)}"
        )
    return sorted(np.random.default_rng(options.seed).permutation(len(train))[: options.faces].tolist())


def _read(dataset: Dataset, rows: list[int], contract: InputContract, console: Console) -> np.ndarray:
    """Each face and its mirror image, so that both views get the same ranges: (2 N, C, S, S) float32."""
    crops = []
    with counting(console, "reading training faces", len(rows)) as advance:
        for row in rows:
            crops.append(preprocess([dataset.read(dataset.samples[row])], contract)[0])
            advance(1)
    faces = np.stack(crops)
    return np.concatenate([faces, faces[..., ::-1]])


def _by_logits(predictions: Predictions) -> Predictions:
    """What the network alone answers: a bias for each class, where one was fitted, is left out."""
    return replace(predictions, probabilities=softmax(predictions.logits))


def _try_out(
    content: bytes, meta: BundleMeta, valid: Dataset, faces: np.ndarray, console: Console
) -> tuple[Predictions, float]:
    """Answers to the validation faces, and by how much the evidence misses the logits."""
    draft = with_metadata(content, replace(meta, calibration=None))
    after = predict_with_progress(Recognizer(draft, detector="none"), valid, console)
    logits, evidence = read_bundle(draft).session.run(faces)
    return _by_logits(after), float(np.abs(evidence.sum(axis=(2, 3)) - logits).max())


def _refuse_a_bad_one(comparison: PairResult, evidence_error: float, options: QuantizeOptions) -> None:
    if not evidence_error <= EVIDENCE_TOLERANCE:
        raise QuantizeError(
            f"in eight bits the evidence misses the logits by {evidence_error:.2g}, expected at most "
            f"{EVIDENCE_TOLERANCE:g}, so no file was written; the graph's head is not one that export writes"
        )
    if -comparison.difference > options.max_loss:
        low, high = comparison.interval
        raise QuantizeError(
            f"in eight bits {-100 * comparison.difference:.2f} points of validation accuracy are lost "
            f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}, n = {comparison.n:,}), expected at most "
            f"{100 * options.max_loss:g}, so no file was written; try another --method or more --faces, or "
            "allow it with --max-loss"
        )


def _origin(
    source: Bundle, comparison: PairResult, after: Predictions, train: Dataset, options: QuantizeOptions
) -> dict[str, Any]:
    """What the new bundle was made from, and with what."""
    return {
        "mirrored_too": True,
        "seed": options.seed,
        "method": options.method,
        "ranges": f"{train.name} train ({train.protocol})",
        "valid": f"{after.about.data} {after.about.split} ({after.about.protocol})",
        "from_model": source.meta.name,
        "from_sha256": source.sha256,
        "from_accuracy": comparison.accuracies[0],
        "onnxruntime": onnxruntime.__version__,
        "commit": code_commit(),
    }


def _metadata(source: Bundle, after: Predictions, how: dict[str, Any]) -> BundleMeta:
    """What the source says about itself, with the new scores and temperature."""
    about = after.about
    stated = stated_accuracy(after.right, about.data, about.split, about.protocol)
    name = source.meta.name
    if source.meta.calibration is not None:  # its bias is left out
        name = with_balance(name, 0)
    return replace(
        source.meta,
        name=f"{name}-int8",
        temperature=fit_temperature(after.logits, after.truth),
        provenance={**source.meta.provenance, "scores": {"valid": stated}, "quantized": how},
        calibration=None,
    )

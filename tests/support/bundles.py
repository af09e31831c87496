"""Tiny but real bundles: linear evidence over an average-pooled image, with random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from crossfer.calibration import LEVELS, Abstention, Calibration
from crossfer.labels import FERPLUS
from crossfer.runtime.bundle import METADATA_KEY, BundleMeta
from crossfer.runtime.preprocess import InputContract

GRID = 6


def tiny_meta(color: str = "gray", temperature: float = 1.5) -> BundleMeta:
    return BundleMeta(
        name="tiny",
        label_set=FERPLUS.name,
        labels=FERPLUS.expressions,
        input=InputContract(size=48, color=color),
        temperature=temperature,
        grid=GRID,
        provenance={"recipe": "tests/support/bundles.py", "license": "Apache-2.0"},
    )


def tiny_graph(meta: BundleMeta, seed: int = 0, **renamed: str) -> onnx.ModelProto:
    """evidence = weights * pooled image, logits = their sum; ``renamed`` renames input and outputs."""
    rng = np.random.default_rng(seed)
    channels, size, _ = meta.input.shape
    classes, grid, cell = len(meta.labels), meta.grid, size // meta.grid
    name = {key: renamed.get(key, key) for key in ("image", "logits", "evidence")}
    weights = rng.normal(size=(1, classes, grid, grid)).astype(np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", [name["image"]], ["pooled"], kernel_shape=[cell, cell], strides=[cell, cell]
        ),
        helper.make_node("ReduceMean", ["pooled", "channel"], ["map"], keepdims=1),
        helper.make_node("Mul", ["weights", "map"], [name["evidence"]]),
        helper.make_node("ReduceSum", [name["evidence"], "cells"], [name["logits"]], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name["image"], TensorProto.FLOAT, ["batch", channels, size, size])],
        [
            helper.make_tensor_value_info(name["logits"], TensorProto.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info(
                name["evidence"], TensorProto.FLOAT, ["batch", classes, grid, grid]
            ),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "channel"),
            numpy_helper.from_array(np.array([2, 3], np.int64), "cells"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def write_bundle(path: Path, graph: onnx.ModelProto, metadata: str | None) -> Path:
    if metadata is not None:
        helper.set_model_props(graph, {METADATA_KEY: metadata})
    onnx.save(graph, str(path))
    return path


def tiny_bundle(path: Path, color: str = "gray") -> Path:
    meta = tiny_meta(color)
    return write_bundle(path, tiny_graph(meta), meta.to_json())


def damaged_bundle(path: Path, value: float = np.nan) -> Path:
    """One weight of the tiny bundle is no number, or is infinite."""
    meta = tiny_meta()
    graph = tiny_graph(meta)
    weights = graph.graph.initializer[0]
    values = numpy_helper.to_array(weights).copy()
    values[0, 3, 2, 2] = value
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    return write_bundle(path, graph, meta.to_json())


def calibration(threshold: float = 0.4, set_threshold: float = 0.05) -> Calibration:
    """Sets take in every expression from one probability on, whatever the coverage."""
    return Calibration((), (set_threshold,) * len(LEVELS), Abstention(threshold, 0.95, 0.8), {"n": 2785})


def calibrated_bundle(path: Path, fitted: Calibration) -> Path:
    meta = dataclasses.replace(tiny_meta(), calibration=fitted)
    return write_bundle(path, tiny_graph(meta), meta.to_json())

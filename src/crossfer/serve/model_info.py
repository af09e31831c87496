"""What the service says about its model, with the accuracy that was measured for exactly this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crossfer.runtime.bundle import BundleError, BundleMeta
from crossfer.runtime.decision import Decision
from crossfer.runtime.recognizer import Recognizer

SHOWN = ("accuracy", "interval", "n", "data", "split", "protocol")
MAX_EVALUATION = 4 << 20  # bytes


def model_info(recognizer: Recognizer) -> dict[str, Any]:
    """Name, labels, input, calibration and accuracy of its model, as plain values; no path of this host."""
    meta, path = recognizer.meta, recognizer.path
    return {
        "name": meta.name,
        "sha256": recognizer.sha256,
        "label_set": meta.label_set,
        "labels": list(meta.labels),
        "input": {"size": meta.input.size, "color": meta.input.color},
        "evidence_grid": meta.grid,
        "calibrated": meta.calibration is not None,
        "abstains_below": _abstains_below(meta),
        "accuracy": None if path is None else accuracy(path, recognizer.sha256),
        "license": meta.provenance.get("license"),
    }


def _abstains_below(meta: BundleMeta) -> float | None:
    """The confidence of abstention; None if the model cannot be asked for it."""
    try:
        return Decision.of(meta, abstain=True).least_confidence
    except BundleError:
        return None


def evaluation_fault(path: Path) -> str | None:
    """Why FILE.json beside FILE.onnx gives no accuracy to show; None if it may, or there is no such file.

    Whether it speaks of that model is not looked at.
    """
    try:
        _evaluation(path)
    except ValueError as error:
        return f"{error}; no accuracy is shown"
    return None


def accuracy(path: Path, sha256: str) -> dict[str, Any] | None:
    """What ``crossfer evaluate --format json`` wrote beside a model, as FILE.json for FILE.onnx.

    Returns:
        None if there is no such file, or if it speaks of another model.
    """
    try:
        found = _evaluation(path)
    except ValueError:
        return None
    if found is None or found["model"]["sha256"] != sha256:
        return None
    return {key: found[key] for key in SHOWN}


def _evaluation(path: Path) -> dict[str, Any] | None:
    """The result beside a model, None if there is no such file; a ValueError if it is something else."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        return None
    try:
        found = json.loads(beside.read_bytes()) if beside.stat().st_size <= MAX_EVALUATION else {}
        if found.keys() >= {*SHOWN, "model"} and "sha256" in found["model"].keys():  # noqa: SIM118 - a text has none
            return found
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{beside}: expected a result of crossfer evaluate --format json, found none")

"""What is said about a file beside a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossfer import Recognizer
from crossfer.serve.model_info import SHOWN, evaluation_fault, model_info
from support.bundles import calibration, tiny_graph, tiny_meta, write_bundle

FIELDS = dict.fromkeys(SHOWN)


@pytest.mark.parametrize(
    "content",
    [
        "accuracy 0.5",
        "[]",
        "{}",
        json.dumps(FIELDS),
        *(json.dumps({**FIELDS, "model": other}) for other in (None, "sha256:0", ["sha256"])),
    ],
)
def test_a_file_that_is_no_result_is_told(content: str, tmp_path: Path):
    model, beside = tmp_path / "m.onnx", tmp_path / "m.json"
    assert evaluation_fault(model) is None
    beside.write_text(content)
    assert str(evaluation_fault(model)).startswith(f"{beside}: expected a result of crossfer evaluate")
    beside.write_text(json.dumps({**FIELDS, "model": {"sha256": "0"}}))
    assert evaluation_fault(model) is None


def test_a_model_with_a_class_called_uncertain_is_not_said_to_abstain(tmp_path: Path):
    told = {}
    for name in ("neutral", "uncertain"):
        labels = (name, *tiny_meta().labels[1:])
        meta = replace(tiny_meta(), calibration=calibration(), label_set="mine", labels=labels)
        model = write_bundle(tmp_path / f"{name}.onnx", tiny_graph(meta), meta.to_json())
        told[name] = model_info(Recognizer(model, "none"))
    assert [info["abstains_below"] for info in told.values()] == [0.4, None]
    assert [info["calibrated"] for info in told.values()] == [True, True]


def test_beside_a_model_that_is_bytes_lies_no_result(tiny_model: Path):
    recognizer = Recognizer(tiny_model.read_bytes(), "none")
    assert model_info(recognizer)["accuracy"] is None
    assert model_info(recognizer)["sha256"] == recognizer.sha256

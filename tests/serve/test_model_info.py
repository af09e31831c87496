"""What is said about a file beside a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossfer.serve.model_info import SHOWN, evaluation_fault

FIELDS = dict.fromkeys(SHOWN)


@pytest.mark.parametrize(
    "content", ["accuracy 0.5", "[]", "{}", json.dumps(FIELDS), json.dumps({**FIELDS, "model": None})]
)
def test_a_file_that_is_no_result_is_told(content: str, tmp_path: Path):
    model, beside = tmp_path / "m.onnx", tmp_path / "m.json"
    assert evaluation_fault(model) is None
    beside.write_text(content)
    assert str(evaluation_fault(model)).startswith(f"{beside}: expected a result of crossfer evaluate")
    beside.write_text(json.dumps({**FIELDS, "model": {"sha256": "0"}}))
    assert evaluation_fault(model) is None

"""``crossfer quantize`` as people call it, and what other commands make of its model."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from crossfer.cli import errors
from crossfer.labels import FERPLUS
from crossfer.runtime.bundle import read_bundle, with_metadata
from data.layouts import picture, save
from support.command import run_main as run


@pytest.fixture
def model(random_model: Path) -> Path:
    return random_model


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class under train and valid."""
    root = tmp_path_factory.mktemp("faces")
    for place, (split, count) in enumerate({"train": 72, "valid": 104}.items()):
        for i in range(count):
            save(root / split / FERPLUS.expressions[i % 8] / f"{i}.png", picture(place, i))
    return root


def test_from_a_model_to_one_in_eight_bits(monkeypatch, capsys, tmp_path: Path, model: Path, faces: Path):
    output = tmp_path / "int8.onnx"
    where = ("--root", faces, "--faces", 64, "--max-loss", 100)
    assert run(monkeypatch, "quantize", model, *where, "-o", output) == 0
    text = capsys.readouterr().out
    assert f"{output}: 0." in text
    assert "convolutions in eight bits; ranges of 64 training faces and their mirror images" in text
    assert "paired, n = 104)" in text
    assert "crossfer calibrate" not in text
    other = tmp_path / "again.onnx"
    assert run(monkeypatch, "quantize", model, *where, "-o", other, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["comparison"]["n"] == 104
    assert found["provenance"]["ranges"] == "folder train (folder per class)"
    assert other.read_bytes() == output.read_bytes()

    data = ("--data", "folder", "--root", faces)
    assert run(monkeypatch, "calibrate", output, *data, "-o", output) == 0
    assert read_bundle(output).meta.calibration is not None
    assert (
        run(monkeypatch, "evaluate", "--model", output, *data, "--split", "valid", "--detector", "none") == 0
    )
    assert "random-int8 on folder valid" in capsys.readouterr().out


def test_a_bad_row_that_train_and_valid_share_is_told_once(
    monkeypatch, capsys, tmp_path: Path, model: Path, faces: Path
):
    rows = [f"{faces}/{split}/neutral/0.png,neutral,{split}" for split in ("train", "valid")]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,split", "short", *rows]) + "\n")
    where = ("--data", "table", "--root", table, "--skip-bad", "-o", tmp_path / "int8.onnx")
    assert "expected" in str(run(monkeypatch, "quantize", model, *where))  # of too few faces
    assert capsys.readouterr().err.count("line 2: expected 3 cells, found 1") == 1


@pytest.mark.parametrize(("trained", "balance"), [(0.0, 0.5), (1.0, 0.0)])
def test_the_command_that_fits_anew_is_whole(
    monkeypatch, capsys, tmp_path: Path, model: Path, faces: Path, trained: float, balance: float
):
    meta, source = read_bundle(model).meta, tmp_path / "trained.onnx"
    told = replace(meta, provenance={**meta.provenance, "recipe": {"balance": trained}})
    source.write_bytes(with_metadata(model.read_bytes(), told))
    before, after = tmp_path / "its own.onnx", tmp_path / "int8.onnx"
    data = ("--data", "folder", "--root", faces, "--classes", "ferplus")
    asked = ("--balance", balance, "--selective-accuracy", 0.2)
    assert run(monkeypatch, "calibrate", source, *data, *asked, "-o", before) == 0
    assert run(monkeypatch, "quantize", before, *data, "--faces", 64, "--max-loss", 100, "-o", after) == 0
    text = capsys.readouterr().out
    assert "abstention and the bias for each class were fitted to the original and are left out" in text
    assert read_bundle(after).meta.calibration is None
    words = shlex.split(text.partition("fit them anew: crossfer ")[2])
    assert words[:2] == ["calibrate", str(after)]
    assert run(monkeypatch, *words) == 0
    calibration = read_bundle(after).meta.calibration
    assert calibration is not None
    assert (calibration.fitted_on["balance"], calibration.fitted_on["selective_accuracy"]) == (balance, 0.2)


def test_a_calibrated_model_names_the_command_that_calibrates_anew(
    monkeypatch, capsys, tmp_path: Path, model: Path, faces: Path
):
    calibrated, output = tmp_path / "calibrated.onnx", tmp_path / "in 8 bits.onnx"
    data = ("--data", "folder", "--root", faces)
    assert run(monkeypatch, "calibrate", model, *data, "-o", calibrated) == 0
    capsys.readouterr()
    assert run(monkeypatch, "quantize", calibrated, *data, "-o", output, "--max-loss", 100) == 0
    command = f"crossfer calibrate '{output}' --data folder --root {faces} -o '{output}'"
    assert command in capsys.readouterr().out


def test_bad_input_is_one_sentence_and_no_file(monkeypatch, tmp_path: Path, model: Path, faces: Path):
    output, where = tmp_path / "int8.onnx", ("--root", faces)
    meta = read_bundle(model).meta
    (tmp_path / "drawn.onnx").write_bytes(
        with_metadata(model.read_bytes(), replace(meta, provenance={"data": "synthetic"}))
    )
    for arguments, message in (
        ((tmp_path / "drawn.onnx", *where, "-o", output), "names no data set that could be read again"),
        ((model, *where, "-o", tmp_path / "int8.tflite"), "expected a name that ends in .onnx"),
        ((model, *where, "-o", tmp_path / "none" / "int8.onnx"), "no folder"),
        ((model, *where, "-o", model), "is the model itself"),
        ((faces / "train", *where, "-o", output), "expected a model file, found a folder"),
        ((model, "--root", faces / "train", "-o", output), "has no valid split here"),
        ((model, *where, "-o", output, "--faces", 64, "--classes", "joy,boredom"), "boredom"),
    ):
        assert message in str(run(monkeypatch, "quantize", *arguments)), arguments
    assert not output.exists()


def test_what_is_missing_is_named_with_its_extra(monkeypatch, tmp_path: Path, model: Path):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "onnx" else object())
    said = run(monkeypatch, "quantize", model, "--root", tmp_path, "-o", tmp_path / "int8.onnx")
    assert said == 'crossfer: this command needs onnx: pip install ".[quantize]" in a checkout'

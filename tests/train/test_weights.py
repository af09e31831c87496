"""A run's weights as a small file to start others from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from crossfer.models import embedded
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.network import network
from crossfer.train.weights import export_weights
from support.toy_faces import LABELS, toy_recipe


def run(folder: Path, scale: float = 1.0) -> Path:
    recipe = toy_recipe(model={"init": "/home/me/w.safetensors"}, data={"root": "/home/me/faces"})
    net = network(recipe.model, len(LABELS))
    with torch.no_grad():
        net.encoder.layer4[1].conv2.weight.mul_(scale)
    meta = {
        "recipe": json.loads(recipe.model_dump_json()),
        "label_set": "ferplus",
        "labels": [],
        "epoch": 3,
        "commit": "abc",
        "precision": "32-true",
    }
    net.head.bias = torch.nn.Parameter(torch.arange(8.0))
    net.head.weight = torch.nn.Parameter(torch.randn(8, 4, 4))
    net.head.pooled_weight = torch.nn.Parameter(torch.randn(8, 32))
    folder.mkdir(exist_ok=True)
    checkpoint.save(folder / "best.safetensors", dict(net.state_dict()), meta)
    return folder


def test_half_the_size_and_the_same_answers(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    made = export_weights(folder, tmp_path / "new" / "w.safetensors")
    whole, small = (checkpoint.load(path)[0] for path in (folder / "best.safetensors", made.path))
    assert whole.keys() == small.keys()
    for name, tensor in small.items():
        assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else whole[name].dtype), name
        torch.testing.assert_close(tensor.to(whole[name].dtype), whole[name], rtol=1e-3, atol=1e-6)
    assert made.change < 0.02
    assert made.size == made.path.stat().st_size < 0.7 * (folder / "best.safetensors").stat().st_size
    assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()


def test_it_says_where_it_comes_from_and_nothing_of_this_machine(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    made = export_weights(folder / "best.safetensors", tmp_path / "w.safetensors")
    meta = checkpoint.load(made.path)[1]
    assert (meta["recipe"]["name"], meta["epoch"], meta["commit"]) == ("toy", 3, "abc")
    assert meta["labels"][:2] == ["neutral", "happiness"]
    assert meta["made_from_sha256"] == hashlib.sha256((folder / "best.safetensors").read_bytes()).hexdigest()
    assert b"/home/me" not in made.path.read_bytes()
    assert meta["recipe"]["model"]["init"] == "w.safetensors"
    again = export_weights(folder, tmp_path / "again.safetensors")
    assert again.sha256 == made.sha256


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", scale=1e9)
    with pytest.raises(CheckpointError, match=r"half precision changes a logit by .*no file was written"):
        export_weights(folder, tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


def test_weights_without_a_recipe_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "best.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="carry no recipe"):
        export_weights(tmp_path, tmp_path / "w.safetensors")


def test_tensors_that_are_not_those_of_the_recipe_are_refused(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    tensors, meta = checkpoint.load(folder / "best.safetensors")
    del tensors["head.bias"]
    checkpoint.save(folder / "best.safetensors", tensors, meta)
    with pytest.raises(CheckpointError, match=r"best.safetensors does not fit its own recipe in 1 tensors"):
        export_weights(folder, tmp_path / "w.safetensors")


@pytest.mark.parametrize("source", ["best.safetensors", "last.safetensors"])
def test_the_files_of_a_run_are_not_written_over(tmp_path: Path, source: str) -> None:
    mine, other = run(tmp_path / "mine"), run(tmp_path / "other")
    for folder in (mine, other):
        (folder / "last.safetensors").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    for output in (mine / source, other / source, other / "../mine" / source):
        with pytest.raises(CheckpointError, match=rf"{source}: is the file of a run, which would be lost"):
            export_weights(mine, output)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")} == before
    (other / "last.safetensors").unlink()
    assert export_weights(mine, other / "best.safetensors").change < 0.05  # of no run any more
    with pytest.raises(CheckpointError, match=r"best.safetensors: is the file of a run"):
        export_weights(other / "best.safetensors", other / "best.safetensors")


def test_what_cannot_be_written_is_refused_before_the_weights_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "best.safetensors").write_bytes(b"never read")
    with pytest.raises(CheckpointError, match=r"run: expected a file to write, found a folder"):
        export_weights(folder, folder)
    with pytest.raises(ValueError, match=r".*best.safetensors: cannot be written \(Not a directory\)"):
        export_weights(folder, folder / "best.safetensors" / "w.safetensors")


def test_an_embedded_model_is_taken_by_its_name(tmp_path: Path) -> None:
    made = export_weights(Path("tiny"), tmp_path / "w.safetensors")
    ours = embedded("tiny", ".safetensors")
    assert ours is not None
    assert checkpoint.load(made.path)[0].keys() == checkpoint.load(ours)[0].keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nosuch",
            r"^expected a safetensors file or one of .*\(base, tiny; .*found nothing called 'nosuch'$",
        ),
        ("x.onnx", r"^x\.onnx: expected weights, found a bundle, which has none to train with"),
    ],
)
def test_what_is_no_weights_is_named(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        export_weights(Path(name), tmp_path / "w.safetensors")

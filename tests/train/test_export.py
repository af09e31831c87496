"""From a run to a bundle: parity with torch, metadata, temperature, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from crossfer.data.synthetic import load_synthetic
from crossfer.labels import FERPLUS
from crossfer.method import build_model
from crossfer.runtime import preprocess
from crossfer.runtime.bundle import METADATA_KEY, read_bundle
from crossfer.runtime.preprocess import InputContract
from crossfer.runtime.recognizer import Recognizer
from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.export import ExportError, Inference, export, parity, to_graph
from crossfer.train.loader import load_faces
from crossfer.train.network import network
from crossfer.train.recipe_file import parse_recipe
from crossfer.train.stream import fingerprint
from crossfer.train.weights import export_weights


def recipe() -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "synthetic", "samples": 256},
            "model": {"width": 8, "dim": 8, "grid": 6},
        },
        "test",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder whose weights are random, but of some size everywhere."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    net = network(recipe().model, len(FERPLUS))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    net.train()
    for _ in range(5):
        net(torch.randn(16, 1, 48, 48))
    meta = {
        "format": 1,
        "commit": "abc",
        "recipe": json.loads(recipe().model_dump_json()),
        "label_set": FERPLUS.name,
        "labels": list(FERPLUS.expressions),
        "epoch": 3,
        "valid_accuracy": 0.5,
    }
    checkpoint.save(folder / "best.safetensors", dict(net.state_dict()), meta)
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return export(run, run / "model.onnx").path


def torch_net(run: Path) -> nn.Module:
    net = network(recipe().model, len(FERPLUS))
    net.load_state_dict(checkpoint.load(run / "best.safetensors")[0])
    return net.eval()


def faces(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 48, 48), dtype=torch.uint8)


@torch.no_grad()
def test_the_bundle_answers_as_torch_does_through_the_runtime(run: Path, bundle: Path) -> None:
    dataset = load_synthetic(split="test", samples=9)
    crops = [dataset.read(s) for s in dataset.samples]
    recognizer = Recognizer(bundle, detector="none")
    output = torch_net(run)(torch.from_numpy(preprocess.preprocess(crops, recognizer.meta.input)))
    for i, prediction in enumerate(recognizer.classify(crops)):
        np.testing.assert_allclose(prediction.logits, output.logits[i].numpy(), atol=1e-4)
        np.testing.assert_allclose(prediction.evidence, output.evidence[i].numpy(), atol=1e-4)
        np.testing.assert_allclose(prediction.evidence.sum(axis=(1, 2)), prediction.logits, atol=1e-4)


def test_the_bundle_explains_itself_and_names_nothing_of_this_machine(run: Path, bundle: Path) -> None:
    meta = read_bundle(bundle).meta
    assert meta.name == recipe().name
    assert meta.labels == FERPLUS.expressions
    assert meta.grid == 6
    assert meta.provenance["commit"] == "abc"
    assert meta.provenance["epoch"] == 3
    score = meta.provenance["scores"]["valid"]
    assert score["n"] == 64
    assert (score["data"], score["split"]) == (meta.provenance["data"], "valid")
    assert score["protocol"] == meta.provenance["protocol"]
    assert score["interval"][0] <= score["accuracy"] <= score["interval"][1]
    content = bundle.read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b".py" not in content
    onnx.checker.check_model(onnx.load(bundle))


def test_any_batch_size_gives_the_same_answer(bundle: Path) -> None:
    session = onnxruntime.InferenceSession(bundle, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).normal(size=(7, 1, 48, 48)).astype(np.float32)
    together = session.run(["logits"], {"image": images})[0]
    alone = [session.run(["logits"], {"image": images[i : i + 1]})[0][0] for i in range(7)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


@pytest.mark.parametrize(
    ("branch", "weighting"),
    [("gap", "adaptive"), ("msr", "adaptive"), ("msr+gap", "sum")],
)
def test_every_kind_of_network_takes_any_batch(
    branch: Literal["gap", "msr", "msr+gap"], weighting: Literal["adaptive", "sum"]
) -> None:
    torch.manual_seed(0)
    net = build_model(
        num_classes=3, image_size=48, in_channels=1, depth=10, width=4, stem="small", dim=4, grid=6,
        branch=branch, weighting=weighting,
    ).eval()  # fmt: skip
    model = Inference(net).eval()
    difference, logits = parity(model, to_graph(model, (1, 48, 48)), faces(5), InputContract(size=48))
    assert difference < 1e-4
    assert logits.shape == (5, 3)


def test_faces_are_in_single_precision_a_batch_at_a_time(
    run: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def standardize(images: Tensor, contract: InputContract) -> Tensor:
        seen.append(len(images))
        return preprocess.standardize(images, contract)

    monkeypatch.setattr("crossfer.train.export.standardize", standardize)
    model, images = Inference(torch_net(run)).eval(), faces(300)
    _, logits = parity(model, onnx.load(bundle), images, InputContract(size=48))
    assert seen == [256, 44]
    with torch.no_grad():
        expected = model(preprocess.standardize(images.float() / 255, InputContract(size=48)))[0]
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


@torch.no_grad()
def test_mirrored_views_do_not_care_for_left_and_right_and_keep_the_evidence_exact() -> None:
    torch.manual_seed(0)
    net = build_model(
        num_classes=8, image_size=48, in_channels=1, width=8, stem="small", dim=8, grid=6
    ).eval()
    images = torch.randn(4, 1, 48, 48)
    logits, evidence = Inference(net, mirror=True)(images)
    flipped_logits, flipped_evidence = Inference(net, mirror=True)(images.flip(3))
    torch.testing.assert_close(logits, flipped_logits)
    torch.testing.assert_close(evidence.flip(3), flipped_evidence)
    torch.testing.assert_close(evidence.sum((2, 3)), logits)


def test_a_graph_that_differs_is_refused(run: Path) -> None:
    class Other(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            output = self.net(image)
            return output.logits + 1e-3, output.evidence

    net = torch_net(run)
    graph = to_graph(Inference(net).eval(), (1, 48, 48))
    with pytest.raises(ExportError, match=r"differs from torch by 0\.001 in logits on random inputs"):
        parity(Other(net), graph, faces(2), InputContract(size=48))


def test_other_validation_faces_than_those_of_the_run_are_refused(run: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(run / "best.safetensors")
    own = fingerprint(
        load_faces(load_synthetic(split="valid", samples=64), InputContract(size=48), votes=False)
    )
    checkpoint.save(tmp_path / "best.safetensors", tensors, meta | {"faces": {"valid": own}})
    assert export(tmp_path, tmp_path / "model.onnx").path.exists()
    checkpoint.save(tmp_path / "best.safetensors", tensors, meta | {"faces": {"valid": "9 faces"}})
    with pytest.raises(
        ExportError, match=r"it was chosen on \(9 faces\), found others \(64 .*: --root PATH$"
    ):
        export(tmp_path, tmp_path / "other.onnx")
    export_weights(tmp_path, tmp_path / "weights.safetensors")
    with pytest.raises(ExportError, match=r"it was chosen on \(9 faces\)"):
        export(tmp_path / "weights.safetensors", tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_weights_without_a_recipe_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "best.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(checkpoint.CheckpointError, match="carry no recipe"):
        export(tmp_path, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_a_run_goes_on_from_is_no_model(run: Path, tmp_path: Path) -> None:
    tensors, meta = checkpoint.load(run / "best.safetensors")
    last = checkpoint.with_prefix("model", tensors)
    checkpoint.save(tmp_path / "last.safetensors", last, meta | {"history": []})
    with pytest.raises(
        checkpoint.CheckpointError,
        match=rf"last.safetensors: expected the weights of a network, .* name the run's folder, {tmp_path}",
    ):
        export(tmp_path / "last.safetensors", tmp_path / "model.onnx")
    with pytest.raises(checkpoint.CheckpointError, match=rf"^{tmp_path}: .* found no best.safetensors in it"):
        export(tmp_path, tmp_path / "model.onnx")
    checkpoint.save(tmp_path / "best.safetensors", {"x": torch.zeros(1)}, meta)
    with pytest.raises(checkpoint.CheckpointError, match=r"does not fit its own recipe in \d+ tensors"):
        export(tmp_path, tmp_path / "model.onnx")


def test_a_failed_export_leaves_an_older_bundle_alone(run: Path, bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(bundle.read_bytes())
    (tmp_path / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:1000])
    with pytest.raises(checkpoint.CheckpointError):
        export(tmp_path, target)
    assert target.read_bytes() == bundle.read_bytes()
    assert METADATA_KEY in {p.key for p in onnx.load(target).metadata_props}

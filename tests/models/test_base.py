"""The embedded model: whole, small, documented, and as good as its card says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from crossfer.data.ferplus import load_ferplus
from crossfer.evaluate.evaluation import evaluate
from crossfer.labels import FERPLUS
from crossfer.quantize.quantize import Wish, quantize
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.recognizer import Recognizer
from crossfer.train import checkpoint
from crossfer.train.export import Inference
from crossfer.train.network import network
from crossfer.train.start import recipe_of

MODELS = Path(str(files("crossfer.models")))
SCORES = json.loads((MODELS / "base.json").read_text("utf-8"))
CARD = (MODELS / "base.md").read_text("utf-8")


def test_the_bundle_is_the_one_that_was_scored() -> None:
    bundle = read_bundle("base")
    assert bundle.sha256 == SCORES["model"]["sha256"]
    assert bundle.meta.labels == FERPLUS.expressions
    assert {"recipe", "data", "protocol", "scores", "commit", "license"} <= bundle.meta.provenance.keys()
    assert len(bundle.path.read_bytes()) <= 15_000_000


def test_the_card_states_the_scores() -> None:
    low, high = SCORES["interval"]
    for figure in (SCORES["accuracy"], SCORES["mean_class_accuracy"], SCORES["macro_f1"], low, high):
        assert f"{100 * figure:.2f}" in CARD
    for name, scores in SCORES["per_class"].items():
        assert f"| {name} | {scores['support']:,} | {100 * scores['recall']:.1f} |" in CARD
    assert SCORES["model"]["sha256"] in CARD


def test_the_weights_to_start_from_are_those_of_the_card() -> None:
    content = (MODELS / "base.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() in CARD
    assert len(content) <= 7_000_000
    _, meta = checkpoint.load(MODELS / "base.safetensors")
    recipe, labels = recipe_of(meta, MODELS)
    assert recipe.name == "ferplus-48"
    assert labels is FERPLUS
    provenance = read_bundle("base").meta.provenance
    assert (meta["epoch"], meta["commit"]) == (provenance["epoch"], provenance["commit"])
    assert str(meta["commit"])[:7] in CARD
    assert len(meta["made_from_sha256"]) == 64


@torch.no_grad()
def test_they_are_the_weights_of_the_bundle() -> None:
    """The bundle averages two mirrored views; half precision moves its logits by less than a hundredth."""
    tensors, meta = checkpoint.load(MODELS / "base.safetensors")
    recipe, labels = recipe_of(meta, MODELS)
    net = Inference(network(recipe.model, len(labels)), mirror=True).eval()
    net.net.load_state_dict(tensors)
    images = np.random.default_rng(0).normal(size=(16, 1, 48, 48)).astype(np.float32)
    expected = read_bundle("base").session.run(["logits", "evidence"], {"image": images})
    for found, value in zip(net(torch.from_numpy(images)), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), value, atol=0.01)
    assert np.abs(expected[0]).max() > 1


def test_the_portrait_smiles(astronaut: np.ndarray) -> None:
    (face,) = Recognizer().recognize(astronaut)
    assert face.expression == "happiness"
    assert face.confidence > 0.9
    # The model's own sum is in single precision.
    np.testing.assert_allclose(face.prediction.evidence.sum(axis=(1, 2)), face.prediction.logits, atol=1e-4)


def test_accuracy_is_not_below_the_card(ferplus_root: Path) -> None:
    dataset = load_ferplus(ferplus_root, split="test", protocol="majority", labels="fer2013new")
    result = evaluate(Recognizer(detector="none"), dataset)
    assert result.n == SCORES["n"] == 3152
    assert round(result.accuracy, 4) >= round(SCORES["accuracy"], 4)


@pytest.mark.parametrize("faces", [320, pytest.param(3199, marks=pytest.mark.long)])
def test_in_eight_bits_it_answers_alike(ferplus_root: Path, tmp_path: Path, faces: int) -> None:
    """Of all validation faces at most three in a thousand more are wrong; of a few, two in all."""
    train, valid = (load_ferplus(ferplus_root, split=split) for split in ("train", "valid"))
    some = replace(valid, samples=valid.samples[:: len(valid) // faces][:faces])
    done = quantize("base", train, some, tmp_path / "int8.onnx", Wish(faces=64 if faces < 1000 else 512))
    assert done.sizes[1] < 3_500_000
    assert done.agreement > 0.98
    assert done.evidence_error <= 1e-5
    assert -done.comparison.difference <= max(0.003, 2 / faces)

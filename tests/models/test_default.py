"""The embedded model: whole, small, documented, and as good as its card says."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from crossfer.data.ferplus import load_ferplus
from crossfer.evaluate.evaluation import evaluate
from crossfer.labels import FERPLUS
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.recognizer import Recognizer

MODELS = Path(str(files("crossfer.models")))
SCORES = json.loads((MODELS / "default.json").read_text("utf-8"))
CARD = (MODELS / "default.md").read_text("utf-8")


def test_the_bundle_is_the_one_that_was_scored() -> None:
    bundle = read_bundle("default")
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

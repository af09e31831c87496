"""Models of random weights, and drawn faces that they answer rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossfer.data.sample import Dataset
from crossfer.data.synthetic import load_synthetic
from crossfer.runtime.recognizer import Recognizer
from support.networks import random_bundle


@pytest.fixture(scope="session")
def model(random_model: Path) -> Path:
    """A bundle in single precision, one view."""
    return random_model


@pytest.fixture(scope="session")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with mirrored views."""
    return random_bundle(tmp_path_factory.mktemp("models") / "mirrored.onnx", mirror=True)


@pytest.fixture(scope="session")
def train() -> Dataset:
    return load_synthetic(split="train", samples=96)


@pytest.fixture(scope="session")
def valid(model: Path) -> Dataset:
    """Labelled with the model's own answers, so that all of them are right."""
    drawn = load_synthetic(split="valid", samples=120)
    answers = Recognizer(model, "none").classify([drawn.read(sample) for sample in drawn.samples])
    samples = [
        replace(sample, label=drawn.labels.index(answer.expression))
        for sample, answer in zip(drawn.samples, answers, strict=True)
    ]
    return replace(drawn, samples=samples)

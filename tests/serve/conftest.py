"""A small photo with a face, and a service with the tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from crossfer import Recognizer
from crossfer.serve.access import Access
from crossfer.serve.service import Service
from support.bundles import calibrated_bundle, calibration
from support.live import TOKEN, running


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo(astronaut: np.ndarray) -> bytes:
    """A PNG file of 160 x 160 pixels with one face."""
    return encoded(np.ascontiguousarray(astronaut[20:180, 140:300]))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a calibration."""
    return calibrated_bundle(tmp_path_factory.mktemp("model") / "tiny.onnx", calibration(threshold=0.95))


@pytest.fixture(scope="session")
def recognizer(model: Path) -> Recognizer:
    """What the services' answers are compared with."""
    return Recognizer(model, threads=1)


@pytest.fixture(scope="session")
def client(model: Path) -> Iterator[httpx.Client]:
    """A client of a service without a token."""
    with running(Service(model)) as client:
        yield client


@pytest.fixture(scope="session")
def guarded(model: Path) -> Iterator[httpx.Client]:
    """A client, without a token of its own, of a service that wants one."""
    access = Access(TOKEN, origins=("https://allowed.example",))
    with running(Service(model, detector="none", access=access)) as client:
        yield client

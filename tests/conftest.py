"""Fixtures that any test may use."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from crossfer.images.read import load_image
from support.bundles import tiny_bundle

settings.register_profile("untimed", deadline=None)  # no test is judged by its time
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights and the FERPlus labels, grey, 48 px, 6 x 6 cells of evidence."""
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a whole network, in single precision, that has learnt nothing; labels as above."""
    from support.networks import random_bundle  # torch is not wanted where nobody asks for it

    return random_bundle(tmp_path_factory.mktemp("models") / "random.onnx")


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """A portrait with one face, 512 x 512."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def astronaut(astronaut_path: Path) -> np.ndarray:
    """The portrait's pixels, uint8 RGB."""
    return load_image(astronaut_path)


@pytest.fixture(scope="session")
def ferplus_root() -> Path:
    """The folder that holds the real FERPlus zips, from the environment; otherwise the test is skipped."""
    value = os.environ.get("CROSSFER_TEST_DATA")
    if not value:
        pytest.skip("CROSSFER_TEST_DATA does not name a folder with FERPlus/FER2013Train.zip")
    root = Path(value) / "FERPlus"
    if not (root / "FER2013Train.zip").is_file():
        pytest.skip(f"{root} has no FER2013Train.zip")
    return root

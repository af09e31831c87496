"""Every test here starts from the same random state, on one thread; tests of a module share a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.runs import toy_run
from support.torch_state import one_thread, same_random_state
from support.toy_faces import toy_recipe

__all__ = ["one_thread", "same_random_state", "whole"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The folder of an uninterrupted toy run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    toy_run(toy_recipe(), folder)
    return folder

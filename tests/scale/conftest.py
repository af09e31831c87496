from pathlib import Path

import pytest

from scale.runs import draw


@pytest.fixture(scope="package")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few small images; tests of whole runs have more, of their own."""
    return draw(tmp_path_factory.mktemp("drawn") / "images", 20)

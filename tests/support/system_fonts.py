"""Fonts as another system has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pytest

from crossfer.runtime import fonts

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@contextmanager
def system_with(*files: str) -> Iterator[None]:
    """Of all fonts that are looked for, the system has only these, all of which matplotlib brings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fonts, "OF_SYSTEMS", files)
        patch.setattr(fonts, "_place", lambda file: str(FONTS / file))
        fonts._font_with.cache_clear()
        yield
    fonts._font_with.cache_clear()

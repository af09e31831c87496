from __future__ import annotations

import matplotlib
import pytest
from matplotlib.figure import Figure

from crossfer.figure import FORMATS, picture


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_tells_neither_the_day_nor_which_matplotlib_drew_it(form: str):
    figure = Figure()
    figure.subplots().plot([0, 1])
    content = picture(figure, form)
    for stamp in (b"Matplotlib version", b"CreationDate", b"dc:date", f"v{matplotlib.__version__}".encode()):
        assert stamp not in content


@pytest.mark.parametrize("form", FORMATS)
def test_one_picture_is_one_file(form: str):
    def drawn() -> bytes:
        figure = Figure()
        figure.subplots().plot([0, 1])
        return picture(figure, form)

    assert drawn() == drawn()

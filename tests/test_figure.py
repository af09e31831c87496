from __future__ import annotations

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import ImageColor

from crossfer.figure import (
    BLUE,
    FORMATS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    ink_on,
    picture,
)


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


@pytest.mark.parametrize("color", [BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, YELLOW, GREY])
def test_letters_have_the_contrast_that_small_texts_need(color: str):
    def luminance(name: str) -> float:
        shares = [c / 255 for c in ImageColor.getrgb(name)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted(map(luminance, (color, ink_on(color))))
    assert (light + 0.05) / (dark + 0.05) >= 4.5

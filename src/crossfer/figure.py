"""What pictures share: colours that everyone tells apart, and how a matplotlib figure becomes a file."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # colours need no matplotlib, which is an extra
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinct under every common colour-vision deficiency, and a dark grey.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, YELLOW, GREY = "#D55E00", "#56B4E9", "#F0E442", "#444444"

# The PNG text by which a drawing of ours is known again: a photo with its faces, and a figure.
SOFTWARE, ANNOTATED, FIGURE = "Software", "crossfer", "crossfer figure"

# In place of what matplotlib writes of itself and of the day unless told not to: one figure is one file.
_STAMPS = {
    "png": {SOFTWARE: FIGURE},
    "svg": dict.fromkeys(("Creator", "Date")),
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}
FORMATS = tuple(_STAMPS)


def ink_on(color: str) -> str:
    """Black or white, whichever has the higher contrast with a colour by the measure of WCAG 2.

    >>> ink_on(GREEN), ink_on(BLUE)
    ('#000000', '#FFFFFF')
    """
    shares = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"


def picture(figure: Figure, form: str = "png", dpi: int = 130) -> bytes:
    """The file of a figure, without the lines above and at the right of its axes.

    Args:
        figure: as drawn.
        form: one of ``FORMATS``.
        dpi: pixels an inch.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - see above

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "crossfer"}):  # names in an SVG are drawn by lot without
        figure.savefig(buffer, format=form, dpi=dpi, bbox_inches="tight", metadata=_STAMPS[form])
    return buffer.getvalue()

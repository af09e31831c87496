"""Letters for pictures: those of the font that comes with Pillow, and others in a font of the system."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# By name of the file, of Linux, Windows and macOS; what most resembles the built-in font comes first.
OF_SYSTEMS = (
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "arial.ttf",
    "Nirmala.ttf",
    "msyh.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
    "Hiragino Sans GB.ttc",
)
_SMALLEST = 8  # pixels
_COMPARED = 24  # pixels of the letters that are compared
_NO_LETTER = "\uffff"  # drawn as what a font draws for letters that it lacks


def font_for(text: str, size: float) -> Font:
    """The built-in font; where it lacks a letter of the text, the one of the system's that lacks the fewest.

    Args:
        text: what is to be drawn.
        size: in pixels.
    """
    found = None if text.isascii() else _font_with(_beyond_ascii(text))
    return _sized(found, max(_SMALLEST, round(size)))


def boxes_in_words(texts: Iterable[str]) -> str:
    """Which letters of some texts are drawn as boxes, and what to do, in a sentence; empty if none is."""
    lacking = set[str]()
    for text in texts:
        letters = _beyond_ascii(text)
        lacking |= _lacking(_font_with(letters), letters)
    if not lacking:
        return ""
    return (
        f"pictures show {''.join(sorted(lacking))} as boxes: no font was found that has all letters of a "
        "name; install one, such as DejaVu Sans, or Noto Sans CJK for Chinese, Japanese and Korean"
    )


def _beyond_ascii(text: str) -> frozenset[str]:
    return frozenset(letter for letter in text if not letter.isascii())


@lru_cache(maxsize=1024)
def _font_with(letters: frozenset[str]) -> str | None:
    """The path of the font that has most of these letters; None for the built-in one."""
    best, lacking = None, _lacking(None, letters)
    for path in filter(None, map(_place, OF_SYSTEMS)):
        if not lacking:
            break
        if len(found := _lacking(path, letters)) < len(lacking):
            best, lacking = path, found
    return best


def _lacking(path: str | None, letters: Iterable[str]) -> set[str]:
    font = _sized(path, _COMPARED)
    box = _drawn(font, _NO_LETTER)
    return {letter for letter in letters if _drawn(font, letter) == box}


def _drawn(font: Font, letter: str) -> bytes:
    picture = Image.new("L", (3 * _COMPARED, 2 * _COMPARED))
    ImageDraw.Draw(picture).text((_COMPARED, 0), letter, fill=255, font=font)
    return picture.tobytes()


@cache
def _place(file: str) -> str | None:
    """Where a font of the system lies, which takes a while to find; None if it is not there."""
    try:
        return str(ImageFont.truetype(file, _COMPARED).path)
    except OSError:
        return None


@cache
def _sized(path: str | None, size: int) -> Font:
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)

import shutil
import sys
from pathlib import Path

import pytest
from PIL import ImageFont

from crossfer.runtime import fonts
from crossfer.runtime.fonts import boxes_in_words, font_for
from support.system_fonts import FONTS, system_with

BUILT_IN = "Aileron"


def font(text: str, size: float = 20) -> ImageFont.FreeTypeFont:
    found = font_for(text, size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def name(text: str) -> str | None:
    return font(text).getname()[0]


def test_the_built_in_font_draws_what_it_has():
    with system_with("DejaVuSans.ttf"):
        assert name("1  happiness >99.9%") == name("happ…") == BUILT_IN


def test_letters_that_it_lacks_are_drawn_in_the_first_font_that_has_all_of_them():
    with system_with("cmr10.ttf", "DejaVuSans.ttf", "DejaVuSansMono.ttf"):
        assert name("1  радость >99.9%") == name("żółty") == "DejaVu Sans"
        assert font("радость", 31.4).size == font("happiness", 31.4).size == 31
        assert boxes_in_words(["happiness", "радость", "dégoût"]) == ""


@pytest.mark.parametrize("files", [(), ("cmr10.ttf",)])
def test_without_such_a_font_they_are_boxes_which_is_told(files):
    with system_with(*files):
        assert name("радость") == BUILT_IN
        assert boxes_in_words(["дар", "fear", "дрд"]).startswith(
            "pictures show адр as boxes: no font was found that has all letters of a name; install"
        )


def test_where_no_font_has_all_of_them_most_are_drawn():
    with system_with("cmr10.ttf", "DejaVuSans.ttf"):
        assert name("радость喜") == "DejaVu Sans"
        assert boxes_in_words(["радость喜"]).startswith("pictures show 喜 as boxes: ")


@pytest.mark.skipif(sys.platform != "linux", reason="where fonts lie depends on the system")
def test_fonts_are_looked_for_where_the_system_keeps_them(tmp_path: Path, monkeypatch):
    place = tmp_path / "fonts" / "below"
    place.mkdir(parents=True)
    shutil.copy(FONTS / "DejaVuSans.ttf", place)
    (place / "arial.ttf").write_bytes(b"no font")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    find = fonts._place.__wrapped__
    assert find("DejaVuSans.ttf") == str(place / "DejaVuSans.ttf")
    assert find("arial.ttf") is None
    assert find("malgun.ttf") is None

"""Bars, lines, tables and JSON as commands show them."""

from __future__ import annotations

import io
import json
import os
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.json import read_json
from rich.console import Console
from rich.text import Text

from crossfer.console import answer_table, as_json, as_text, bars, counting, say, stderr_console, text_table


def console(*, terminal: bool) -> tuple[Console, StringIO]:
    shown = StringIO()
    return Console(file=shown, force_terminal=terminal, width=80, color_system=None), shown


def test_a_bar_counts_on_a_terminal_and_is_silent_elsewhere():
    for terminal in (True, False):
        where, shown = console(terminal=terminal)
        with counting(where, "reading", 1200) as advance:
            advance(400)
            advance(350)
        assert ("reading" in shown.getvalue()) == terminal
        assert ("750/1200" in shown.getvalue().replace(" ", "")) == terminal
        assert terminal or not shown.getvalue()


def test_standard_error_is_a_terminal_only_if_it_is_one(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not stderr_console().is_terminal


def test_several_bars_stand_below_one_another():
    where, shown = console(terminal=True)
    with bars(where) as shown_bars:
        shown_bars.add_task("reading", total=3)
        shown_bars.add_task("comparing", total=4)
        shown_bars.refresh()
    assert shown.getvalue().index("reading") < shown.getvalue().index("comparing")


def test_a_line_is_said_as_it_is():
    where, shown = console(terminal=False)
    line = "left out: faces/[red]1.png :smile: " + "far " * 40 + "down"
    say(where, line)
    assert shown.getvalue() == line + "\n"


def test_a_name_in_a_line_does_not_rule_the_terminal():
    where, shown = console(terminal=True)
    say(where, "left out: \x1b[2Ja.png")
    assert shown.getvalue() == "left out: \\x1b[2Ja.png\n"


def test_a_table_in_plain_text():
    table = text_table("parts", "part", "where", "images", left={"where"})
    table.add_row("all", "in train", "1,234")
    table.add_row("[red] ones", "x", "5")
    assert as_text("a line", table) == (
        "a line\n"
        "parts\n"
        "\n"
        " part         where      images\n"
        " ──────────────────────────────\n"
        " all          in train    1,234\n"
        " [red] ones   x               5\n"
        "\n"
    )


@pytest.mark.parametrize("fold", [True, False])
def test_long_lines_are_folded_only_if_asked(fold):
    words = ["word"] * 30
    lines = as_text(" ".join(words), width=50, fold=fold).splitlines()
    assert (len(lines) > 1) == fold
    assert " ".join(lines).split() == words
    assert not fold or max(map(len, lines)) <= 50


def test_plain_text_is_plain_whatever_the_environment_says(monkeypatch):
    table = text_table("parts", "part", "images")
    table.add_row("all", "1,234")
    plain = as_text("a line", table)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert as_text("a line", table) == plain


def test_text_for_a_terminal_has_its_width_and_colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    table = answer_table()
    table.add_column("words")
    table.add_row("word " * 20)
    shown = as_text(Text("a line", "bold"), table, width=30, columns=60)
    assert "\x1b[1ma line\x1b[0m" in shown
    assert len(shown.splitlines()) == 4


def test_json_is_one_line():
    values = {"name": "a\nb", "n": [1, 2.5, None]}
    text = as_json(values)
    assert text.count("\n") == 1
    assert json.loads(text) == values


@given(st.lists(st.sampled_from("\\ud89aé😀\udce9\ud83d\ude00")).map("".join))
def test_json_has_halves_of_characters_escaped_and_all_else_as_it_is(text):
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    expected = joined.encode("utf-8", "backslashreplace").decode()
    assert json.loads(as_json({"text": text})) == {"text": expected}


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"a\\\xff\xf0.jpg", "😀.jpg".encode()])
def test_other_readers_of_json_take_any_name_of_a_file(name):
    (row,) = read_json(io.BytesIO(as_json({"path": os.fsdecode(name)}).encode())).to_pylist()
    assert row == {"path": os.fsdecode(name).encode("utf-8", "backslashreplace").decode()}

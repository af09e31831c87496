"""What the help of every command looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from crossfer.cli import app
from crossfer.cli.help import NARROW
from crossfer.data.names import DatasetName
from crossfer.models import names
from support.command import crossfer


def commands(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    yield before
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield *before, name


def help_of(*words: str, option: str = "--help", columns: int = 80) -> str:
    """What the help says in a terminal, words apart by one space, without lines."""
    terminal = {"COLUMNS": str(columns), "LINES": "24", "TERM": "dumb"}
    result = CliRunner().invoke(app, [*words, option], env=terminal)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= columns
    return " ".join(result.stdout.replace("│", " ").split())


@pytest.mark.parametrize("words", [*commands(get_command(app))], ids=" ".join)
def test_values_are_shown_by_a_word_and_flags_without(words):
    shown = help_of(*words)
    assert not [odd for odd in ("<bool>", "<=", "range>", "|none", "...]") if odd in shown]
    assert help_of(*words) == shown


@pytest.mark.parametrize("columns", [40, NARROW])
@pytest.mark.parametrize("words", [*commands(get_command(app))], ids=" ".join)
def test_no_option_is_cut_however_narrow_the_terminal(words, columns):
    command = get_command(app)
    for word in words:
        command = command.commands[word]
    shown = help_of(*words, columns=columns).split()
    assert {name for parameter in command.params for name in parameter.opts if name[0] == "-"} <= {
        word.rstrip(",") for word in shown
    }


def test_a_help_lists_choices_and_bounds_in_whole_words():
    shown = help_of("evaluate")
    *others, last = get_args(DatasetName)
    assert f"[{', '.join(others)} or {last}]" in shown
    assert "[0.01 to 0.99]" in shown
    assert "[0 or more]" in shown


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (("predict",), "[OPTIONS] {PATHS}..."),
        (("score",), "[OPTIONS] [INPUT]..."),
        (("video",), "[OPTIONS] {INPUT}"),
        (("data", "check"), "[OPTIONS] {NAME}"),
    ],
)
def test_arguments_are_written_in_one_way(words, usage):
    assert f"{' '.join(words)} {usage} " in help_of(*words)


def test_bounds_and_choices_hold_after_the_help_was_shown():
    help_of("predict")
    for option, value in (("--min-face-score", "2"), ("--detector", "x")):
        assert CliRunner().invoke(app, ["predict", option, value, "a.png"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("calibrate", "base", "--data", "ferplus", "--root", ".", "-o", "model.pt"), 2),
        (("calibrate", "base", "--data", "ferplus", "--root", "none", "-o", "model.onnx"), 1),
        (("calibrate", "base", "--data", "sfew", "--root", ".", "-o", "m.onnx", "--classes", "found"), 2),
        (("data", "split", "rafdb", "--root", ".", "-o", "s.csv", "--classes", "found"), 2),
        (("video", "clip.mp4", "-o", "rows.txt"), 2),
        (("video", "clip.mp4", "--annotate", "copy.gif"), 2),
        (("video", "clip.mp4", "--resume"), 2),
        (("serve", "--allow-origin", "*"), 2),
        (("predict", "-", "-"), 2),
        (("predict", "a.png", "--model", "none", "-o", "out.parquet", "--annotate", "drawn"), 2),
        (("compare", "none.json"), 1),
    ],
)
def test_the_status_tells_a_wrong_command_line_from_what_it_names(words, status, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = crossfer(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("crossfer: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_commands_stand_by_what_they_are_for():
    shown = help_of()
    panels = ("Recognise", "Train", "Measure", "Study the method", "Data")
    places = [shown.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)
    assert places[0] < shown.index(" predict ") < places[1] < shown.index(" distill ") < places[2]
    assert shown.index(" ablate ") > places[3]


@pytest.mark.parametrize("words", [(), ("predict",), ("data",), ("data", "split")], ids=" ".join)
def test_h_is_help(words):
    assert help_of(*words, option="-h") == help_of(*words)


@pytest.mark.parametrize("name", ["predict", "video", "serve", "score", "evaluate", "bench"])
def test_the_embedded_models_are_named(name):
    told, _, default = names(".onnx").partition("; default is ")
    first, *others = sorted(told.split(", "), key=lambda model: model != default)
    assert f"{first} (the default), {', '.join(others)}, or a .onnx file." in help_of(name)

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossfer.cli import errors
from crossfer.cli.output import give, need_plot, remark, to_stdout
from data.layouts import write_class_folders

NAME = "caf\udce9.json"  # as Python has a file's name that is no UTF-8


def test_what_is_no_utf_8_is_escaped_in_a_file(tmp_path):
    give(f"{NAME} is kept\n", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b"caf\\udce9.json is kept\n"


def test_without_a_file_it_goes_to_standard_output_as_it_is(capsys):
    give("a [bold]b[/bold]", None)
    assert capsys.readouterr().out == "a [bold]b[/bold]"


def test_a_remark_is_a_line_on_stderr_whose_escapes_are_escaped(capsys):
    remark("no image at \x1b[2Ja.png")
    assert capsys.readouterr() == ("", "crossfer: no image at \\x1b[2Ja.png\n")


def test_a_plot_needs_one_part_of_its_extra_which_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    need_plot(None, Path("table.txt"))
    with pytest.raises(
        ValueError, match=r'^--plot needs matplotlib: pip install "\.\[report\]" in a checkout$'
    ):
        need_plot(tmp_path / "rows.png", None)


def test_a_reader_gets_each_piece_at_once(monkeypatch):
    read, write = os.pipe()
    os.set_blocking(read, False)
    with open(read, "rb") as reader, open(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        for piece in ("a row\n", "another\n"):
            to_stdout(piece)
            assert reader.read() == piece.encode()


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"out\.txt"):
        give("text", tmp_path / "missing" / "out.txt")


def with_stdout(target: str, *arguments: object) -> tuple[int, str]:
    """Exit status and stderr of ``crossfer`` in a shell that sends its results somewhere, as by default."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [
            "/bin/bash",
            "-c",
            f'"$@" {target}',
            "bash",
            sys.executable,
            "-m",
            "crossfer",
            *map(str, arguments),
        ],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_results_for_which_the_disk_has_no_room_are_an_error_in_one_line(tiny_model, astronaut_path):
    command = ("predict", "--model", tiny_model, "--format", "json", astronaut_path)
    told = (1, "crossfer: standard output: No space left on device\n")
    assert with_stdout("> /dev/full", *command) == told


@pytest.mark.parametrize("command", [("--help",), ("data", "check", "folder", "--root", "faces")])
def test_so_is_what_is_printed_for_people(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "faces", {"fear": 2})
    assert with_stdout("> /dev/full", *command) == (1, "crossfer: standard output: No space left on device\n")


def test_a_reader_who_went_away_ends_it_without_a_word(tiny_model, astronaut_path):
    command = ("predict", "--model", tiny_model, "--format", "json", astronaut_path)
    assert with_stdout("| true; exit ${PIPESTATUS[0]}", *command) == (1, "")

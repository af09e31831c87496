import pytest

from crossfer.cli.output import give

NAME = "caf\udce9.json"  # as Python has a file's name that is no UTF-8


def test_what_is_no_utf_8_is_escaped_in_a_file(tmp_path):
    give(f"{NAME} is kept\n", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b"caf\\udce9.json is kept\n"


def test_without_a_file_it_goes_to_standard_output_as_it_is(capsys):
    give("a [bold]b[/bold]", None)
    assert capsys.readouterr().out == "a [bold]b[/bold]"


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"out\.txt"):
        give("text", tmp_path / "missing" / "out.txt")

"""``crossfer data check`` and ``crossfer data split``, run as a user runs them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from crossfer.data.source import open_dataset
from data.layouts import (
    write_affectnet_arrays,
    write_affectnet_lists,
    write_class_folders,
    write_folders,
    write_pixel_table,
    write_rafdb,
    write_zips,
)
from support.command import run_main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str | int | None:
    return run_main(monkeypatch, "data", *arguments)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "faces", {"Happy": 12, "sad": 8})


def test_check_as_text_and_json(monkeypatch, capsys, faces: Path):
    assert run(monkeypatch, "check", "folder", "--root", faces, "--classes", "happy,sad") == 0
    text = capsys.readouterr().out
    assert "happiness" in text
    assert "nothing wrong was found" in text
    assert run(monkeypatch, "check", "folder", "--root", faces, "--format", "json", "--exact") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["splits"]["train"]["per_class"]["sadness"] == 8
    assert values["fatal"] is False


def test_a_fatal_finding_is_exit_status_1(monkeypatch, capsys, tmp_path: Path):
    assert run(monkeypatch, "check", "rafdb", "--root", write_rafdb(tmp_path)) == 1
    text = capsys.readouterr().out
    assert "fatal: train: expected 12,271 labelled images, found 4" in text


def test_escapes_and_markup_in_names_are_shown_as_they_are(monkeypatch, capsys, faces: Path, tmp_path: Path):
    (faces / "sad" / "[red]\x1b[2J.png").write_bytes(b"junk")
    (faces / "Happy").rename(faces / "[red]happy")
    assert run(monkeypatch, "check", "folder", "--root", faces, "--classes", "found") == 1
    text = capsys.readouterr().out
    assert "sad/[red]\\x1b[2J.png" in text
    (faces / "sad" / "[red]\x1b[2J.png").unlink()
    options = ("--root", faces, "--classes", "found", "--valid", "0.25", "-o", tmp_path / "split.csv")
    assert run(monkeypatch, "split", "folder", *options) == 0
    text += (summary := capsys.readouterr().out)
    assert summary.splitlines()[3].strip().startswith("[red]happy ")
    assert "\x1b" not in text


@pytest.mark.parametrize("words", [("check", "folder"), ("split", "folder", "-o", "split.csv")])
def test_a_class_whose_name_a_terminal_obeys_is_refused_by_its_folder(
    monkeypatch, capsys, faces: Path, words
):
    (faces / "Happy").rename(faces / "\x1b[31mhappy")
    monkeypatch.chdir(faces.parent)
    said = run(monkeypatch, *words, "--root", faces, "--classes", "found")
    assert said == (
        f"crossfer: {faces}: expected class names in printable characters, found '\\x1b[31mhappy'; "
        "rename that folder"
    )
    assert "\x1b" not in "".join(capsys.readouterr())
    assert not Path("split.csv").exists()


def test_split_writes_a_file_that_can_be_used(monkeypatch, capsys, faces: Path, tmp_path: Path):
    path = tmp_path / "split.csv"
    options = ("split", "folder", "--root", faces, "--valid", "0.25", "--test", "0.25", "-o", path)
    assert run(monkeypatch, *options) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{path}: 20 images"
    first = path.read_bytes()
    assert str(faces).encode() not in first
    assert run(monkeypatch, *options) == 0
    assert path.read_bytes() == first
    counts = {
        s: len(open_dataset("folder", faces, split=s, split_file=path)) for s in ("train", "valid", "test")
    }  # type: ignore[arg-type]
    assert counts == {"train": 10, "valid": 5, "test": 5}


@pytest.mark.parametrize("classes", ["found", "happiness, bored,\nsad"])
def test_the_command_of_a_split_file_cuts_it_again(classes: str, monkeypatch, tmp_path: Path):
    root = write_class_folders(tmp_path / "faces", {"Bored": 10, "Happy": 5})
    first, again = tmp_path / "first.csv", tmp_path / "again.csv"
    told = ("split", "folder", "--classes", classes, "--valid", "0.2")
    assert run(monkeypatch, *told, "--root", root, "-o", first) == 0
    (command,) = (line for line in first.read_text().splitlines() if line.startswith("# command: "))
    crossfer, data, *written = shlex.split(command.removeprefix("# command: "))
    assert (crossfer, data) == ("crossfer", "data")
    assert run(monkeypatch, *written, "--root", root, "-o", again) == 0
    assert again.read_text() == first.read_text()


@pytest.mark.parametrize("name", [b"n\nl.png", b"c\rr.png", b"b\xff.png"])
def test_split_refuses_names_that_its_file_cannot_hold(monkeypatch, name: bytes, faces: Path, tmp_path: Path):
    try:
        os.link(faces / "sad" / "0.png", os.fsencode(faces / "sad") + b"/" + name)
    except OSError:
        pytest.skip("the file system refuses such names")
    error = run(monkeypatch, "split", "folder", "--root", faces, "-o", tmp_path / "s.csv")
    assert isinstance(error, str)
    assert "expected names in UTF-8 without line breaks" in error
    assert str(b"sad/" + name)[1:] in error
    assert "\n" not in error
    assert not (tmp_path / "s.csv").exists()


def test_a_set_of_many_classes_is_checked(monkeypatch, capsys, tmp_path: Path):
    root = write_class_folders(tmp_path / "many", {f"c{i:03d}": 1 for i in range(140)})
    options = ("--classes", "found", "--exact", "--format", "json")
    assert run(monkeypatch, "check", "folder", "--root", root, *options) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"]["per_class"]["c139"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("check", "rafdb", "--root", "{root}"), "expected RAF-DB as EmoLabel/list_patition_label.txt"),
        (("check", "folder", "--root", "{root}/none"), "expected a folder or a zip"),
        (
            ("check", "rafdb", "--root", "{root}", "--classes", "sad,happy"),
            "--classes belongs to folder",
        ),
        (
            ("split", "ferplus", "--root", "{root}", "-o", "{root}/s.csv"),
            "has a valid split of its own",
        ),
        (("split", "folder", "--root", "{root}", "-o", "{root}/no/s.csv"), "no folder"),
        (
            ("split", "folder", "--root", "{root}", "-o", "{root}/sad"),
            "expected a file to write, found a folder",
        ),
        (
            ("split", "folder", "--root", "{root}", "-o", "{root}/s.csv", "--valid", "0"),
            "expected shares",
        ),
    ],
)
def test_errors_are_one_line(monkeypatch, options: tuple[str, ...], message: str, faces: Path):
    error = run(monkeypatch, *(option.format(root=faces) for option in options))
    assert isinstance(error, str)
    assert message in error
    assert "\n" not in error
    assert not list(faces.glob("*.csv"))


def test_a_split_is_not_written_over_what_it_is_cut_from(monkeypatch, faces: Path):
    table = faces / "table.csv"
    table.write_text(
        "path,label\n" + "".join(f"Happy/{i}.png,Happy\nsad/{i % 8}.png,sad\n" for i in range(8))
    )
    image = faces / "Happy" / "0.png"
    for name, root, file in (("table", table, table), ("table", faces, table), ("folder", faces, image)):
        before = file.read_bytes()
        error = str(run(monkeypatch, "split", name, "--root", root, "-o", file))
        assert f"--output {file}: is read here and would be lost" in error
        assert file.read_bytes() == before
    for _ in range(2):  # an older split may be replaced, wherever it lies
        assert run(monkeypatch, "split", "folder", "--root", faces, "-o", faces / "split.csv") == 0


@pytest.mark.parametrize(
    ("name", "write", "files"),
    [
        ("rafdb", write_rafdb, ["EmoLabel/list_patition_label.txt"]),
        ("rafdb", partial(write_rafdb, listed="list_partition_label.txt"), ["list_partition_label.txt"]),
        ("ferplus", write_folders, ["fer2013new.csv", "FER2013Train/label.csv"]),
        ("ferplus", write_pixel_table, ["fer2013new.csv", "fer2013.csv"]),
        ("ferplus", write_zips, ["FER2013Train.zip", "FER2013Test.zip"]),
        (
            "affectnet8",
            write_affectnet_lists,
            [f"Manually_Annotated_file_lists/{name}.csv" for name in ("training", "validation")],
        ),
        ("affectnet8", write_affectnet_arrays, ["val_set/annotations/0_exp.npy"]),
    ],
)
@pytest.mark.parametrize("wrapped", ["", "set/copy", "link"])
def test_a_split_is_not_written_over_labels(
    monkeypatch, name: str, write: Callable[[Path], Path], files: list[str], wrapped: str, tmp_path: Path
):
    root = tmp_path / "root"
    inner = root / wrapped
    if wrapped == "link":
        (tmp_path / "elsewhere").mkdir()
        root.mkdir()
        inner.symlink_to(tmp_path / "elsewhere")
    inner.mkdir(parents=True, exist_ok=True)
    write(inner)
    for file in (inner / file for file in files):
        before = file.read_bytes()
        error = str(run(monkeypatch, "split", name, "--root", root, "-o", file))
        assert f"--output {file}: is read here and would be lost" in error
        assert file.read_bytes() == before


def test_as_a_command_it_keeps_stdout_for_the_result(faces: Path):
    command = [sys.executable, "-m", "crossfer", "data", "check", "folder", "--format", "json", "--root"]
    done = subprocess.run([*command, str(faces)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1

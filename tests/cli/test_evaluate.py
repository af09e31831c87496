from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossfer.data import source
from crossfer.data.sample import Dataset, Faults, Sample
from crossfer.data.splitfile import read_split_file
from crossfer.runtime.bundle import read_bundle, write_bundle
from data.layouts import write_affectnet_lists, write_class_folders, write_folders, write_zips
from support.command import run_main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str | int | None:
    return run_main(monkeypatch, "evaluate", *arguments)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "faces", {"Happy": 3, "fear": 2})


def test_ferplus_as_json(monkeypatch, capsys, tmp_path: Path, tiny_model: Path):
    write_zips(tmp_path)
    options = ("--data", "ferplus", "--root", tmp_path, "--model", tiny_model)
    assert run(monkeypatch, *options, "--format", "json") == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert captured.err == ""
    assert (values["data"], values["split"], values["protocol"]) == ("ferplus", "test", "majority/fer2013new")
    assert (values["n"], values["no_face"], values["detector"]) == (3, 0, "none")
    assert 0 <= values["interval"][0] <= values["accuracy"] <= values["interval"][1] <= 1
    assert np.sum(values["confusion"]) == 3
    chosen = ("--split", "valid", "--protocol", "argmax", "--labels", "label-csv")
    assert run(monkeypatch, *options, "--format", "json", *chosen) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["split"], values["protocol"], values["n"]) == ("valid", "argmax/label-csv", 1)


def test_a_folder_of_face_crops(monkeypatch, capsys, faces: Path, tiny_model: Path):
    options = (
        "--data",
        "folder",
        "--root",
        faces,
        "--model",
        tiny_model,
        "--format",
        "json",
        "--detector",
        "none",
    )
    assert run(monkeypatch, *options) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["n"] == 5
    assert len(values["labels"]) == len(values["confusion"]) == 8
    supports = {name: scores["support"] for name, scores in values["per_class"].items() if scores["support"]}
    assert supports == {"happiness": 3, "fear": 2}


def test_a_folder_is_measured_end_to_end_unless_told_otherwise(
    monkeypatch, capsys, tmp_path: Path, tiny_model: Path, astronaut_path: Path
):
    for name in ("happiness", "sadness"):
        (tmp_path / name).mkdir()
    Image.open(astronaut_path).convert("RGB").save(tmp_path / "happiness" / "portrait.png")
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "sadness" / "wall.png")
    options = ("--data", "folder", "--root", tmp_path, "--model", tiny_model, "--format", "json")
    assert run(monkeypatch, *options) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["detector"], values["n"], values["no_face"]) == ("centerface", 2, 1)
    assert sum(values["confusion"][1]) == 1
    assert sum(values["confusion"][3]) == 0
    assert run(monkeypatch, *options, "--min-face-score", "0.99") == 0
    assert json.loads(capsys.readouterr().out)["no_face"] == 2
    group = Image.new("RGB", (3000, 2000), "gray")
    group.paste(Image.open(astronaut_path).convert("RGB").resize((220, 220)), (100, 100))
    group.save(tmp_path / "happiness" / "portrait.png")
    for side, missed in ((640, 2), (1920, 1)):
        assert run(monkeypatch, *options, "--detector-side", side) == 0
        assert json.loads(capsys.readouterr().out)["no_face"] == missed


def test_as_many_threads_as_are_asked_for(monkeypatch, faces: Path, tiny_model: Path, threads_asked):
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *options) == run(monkeypatch, *options, "--threads", 1) == 0
    assert threads_asked == [None, 1]


def test_text_and_output_file(monkeypatch, capsys, faces: Path, tiny_model: Path, tmp_path: Path):
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *options) == 0
    text = capsys.readouterr().out
    assert text.startswith("tiny on folder test (folder per class, n = 5, detector none)\naccuracy ")
    assert run(monkeypatch, *options, "--output", tmp_path / "result.txt") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "result.txt").read_text(encoding="utf-8") == text
    assert run(monkeypatch, *options, "-o", tmp_path / "result.JSON") == 0
    assert json.loads((tmp_path / "result.JSON").read_text(encoding="utf-8"))["n"] == 5
    assert run(monkeypatch, *options, "-o", tmp_path / "result.json", "--format", "text") == 0
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == text


def test_the_same_run_gives_the_same_bytes(monkeypatch, capsys, faces: Path, tiny_model: Path):
    options = (
        "--data",
        "folder",
        "--root",
        faces,
        "--model",
        tiny_model,
        "--detector",
        "none",
        "--format",
        "json",
    )
    outputs = []
    for _ in range(2):
        run(monkeypatch, *options)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != ""


def test_bad_images_stop_it_or_are_counted(monkeypatch, capsys, faces: Path, tiny_model: Path):
    (faces / "fear" / "0.png").write_bytes(b"no image")
    options = (
        "--data",
        "folder",
        "--root",
        faces,
        "--model",
        tiny_model,
        "--detector",
        "none",
        "--format",
        "json",
    )
    assert "fear/0.png: expected a JPEG, PNG, WebP, BMP or TIFF image" in str(run(monkeypatch, *options))
    assert capsys.readouterr().out == ""
    assert run(monkeypatch, *options, "--skip-bad") == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert (values["n"], values["skipped"]["count"]) == (4, 1)
    assert "fear/0.png" in values["skipped"]["reasons"][0]
    assert captured.err.startswith("left out: ")
    assert len(captured.err.splitlines()) == 1


def test_what_skip_bad_would_leave_out_is_told_with_that_way_out(
    monkeypatch, tmp_path: Path, faces: Path, tiny_model: Path
):
    ends = ("; or leave it out with --skip-bad", "; or leave them out with --skip-bad")
    where = ("--model", tiny_model, "--detector", "none", "--data")
    cut = ("folder", "--root", faces, "--test", "0.4", "-o", tmp_path / "split.csv")
    assert run_main(monkeypatch, "data", "split", *cut) == 0
    (faces / "fear" / "0.png").rename(faces / "fear" / "new.png")
    split = ("--split-file", tmp_path / "split.csv")
    assert str(run(monkeypatch, *where, "folder", "--root", faces, *split)).endswith(ends[1])
    (faces / "fear" / "new.png").write_bytes(b"no image")
    assert str(run(monkeypatch, *where, "folder", "--root", faces)).endswith(ends[0])
    (tmp_path / "t.csv").write_text("path,label\nfaces/Happy/0.png,bored\n")
    assert str(run(monkeypatch, *where, "table", "--root", tmp_path / "t.csv")).endswith(ends[0])
    refused = [
        run_main(monkeypatch, "data", "split", *cut),  # has no such option
        run(monkeypatch, *where, "folder", "--root", tmp_path / "nowhere"),
    ]
    assert all("expected" in str(told) and "--skip-bad" not in str(told) for told in refused)


def test_a_bad_image_of_another_split_is_told_with_that_way_out(
    monkeypatch, tmp_path: Path, tiny_model: Path
):
    for part in ("train", "test"):
        write_class_folders(tmp_path / part, {"happiness": 2})
    (tmp_path / "train" / "happiness" / "1.png").write_bytes(b"no image")
    where = ("--data", "folder", "--root", tmp_path, "--model", tiny_model, "--detector", "none")
    told = str(run(monkeypatch, *where, "--leaks"))
    assert "train/happiness/1.png: expected" in told
    assert told.endswith("; or leave it out with --skip-bad")


def test_an_image_that_vanishes_later_is_left_out_too(monkeypatch, capsys, faces: Path, tiny_model: Path):
    keep = source.keep_readable

    def vanish(dataset: Dataset, faults: Faults) -> Dataset:
        kept = keep(dataset, faults)
        (faces / "fear" / "0.png").unlink()
        return kept

    monkeypatch.setattr(source, "keep_readable", vanish)
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *options, "--format", "json", "--skip-bad") == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert (values["n"], values["skipped"]["count"]) == (4, 1)
    assert captured.err == f"left out: {values['skipped']['reasons'][0]}\n"
    assert "fear/0.png: no such file" in captured.err


def test_where_all_images_vanish_it_stops_though_some_were_read(
    monkeypatch, faces: Path, tiny_model: Path, tmp_path: Path
):
    keep = source.keep_readable

    def unmounted_after_the_first(dataset: Dataset, faults: Faults) -> Dataset:
        def read(sample: Sample) -> np.ndarray:
            pixels = dataset.read(sample)
            shutil.rmtree(faces)
            faces.mkdir()  # where a mount was, an empty folder is left
            return pixels

        return replace(keep(dataset, faults), read=read)

    monkeypatch.setattr(source, "keep_readable", unmounted_after_the_first)
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    said = run(monkeypatch, *options, "--skip-bad", "-o", tmp_path / "result.json")
    assert said == (
        f"crossfer: {faces}: expected the data set that was opened, found it gone or empty; "
        "bring it back, or mount it again"
    )
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "ferplus", "--root", "{root}"), "expected FERPlus as a folder FER2013Test"),
        (("--data", "folder", "--root", "{root}/nowhere"), "nowhere: expected a folder"),
        (
            ("--data", "folder", "--root", "{root}", "--protocol", "argmax"),
            "--protocol and --labels belong to",
        ),
        (
            ("--data", "folder", "--root", "{root}", "--labels", "label-csv"),
            "--protocol and --labels belong to",
        ),
        (("--data", "folder", "--root", "{root}", "--output", "{root}/no/where.json"), "no folder"),
        (("--data", "folder", "--root", "{root}", "--model", "{root}/no.onnx"), "no.onnx"),
    ],
)
def test_errors_are_one_line(
    monkeypatch, options: tuple[str, ...], message: str, faces: Path, tiny_model: Path
):
    given = [option.format(root=faces) for option in options]
    model = () if "--model" in options else ("--model", tiny_model)
    error = run(monkeypatch, *given, *model)
    assert isinstance(error, str)
    assert message in error
    assert "\n" not in error


def test_unknown_choices_are_usage_errors(monkeypatch, capsys, faces: Path):
    assert run(monkeypatch, "--data", "imagenet", "--root", faces) == 2
    assert run(monkeypatch, "--data", "folder", "--root", faces, "--split", "dev") == 2
    assert capsys.readouterr().out == ""


def test_as_a_command_it_keeps_stdout_for_the_result(tmp_path: Path, tiny_model: Path):
    write_folders(tmp_path)
    command = [
        sys.executable,
        "-m",
        "crossfer",
        "evaluate",
        "--data",
        "ferplus",
        "--model",
        str(tiny_model),
    ]
    done = subprocess.run(
        [*command, "--root", str(tmp_path), "--format", "json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["n"] == 3
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    failed = subprocess.run(
        [*command, "--root", str(tiny_model.parent)], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1


def test_it_needs_no_torch(tmp_path: Path, tiny_model: Path):
    write_folders(tmp_path)
    options = ["--data", "ferplus", "--root", str(tmp_path), "--model", str(tiny_model)]
    program = (
        "import sys; from crossfer.cli import app; "
        f"app({['evaluate', *options]}, standalone_mode=False); "
        "assert 'onnxruntime' in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_names_that_are_not_found_are_counted(
    monkeypatch, capsys, faces: Path, tiny_model: Path, tmp_path: Path
):
    hard = tmp_path / "hard.txt"
    hard.write_text("Happy/0\nfear/1\nHappy/99\n")
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *options, "--subset", hard, "--format", "json") == 0
    captured = capsys.readouterr()
    assert captured.err == "subset hard: 2 of 3 names found\n"
    found = json.loads(captured.out)["subsets"]["hard"]
    assert (found["n"], found["names"]) == (2, 3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "hard.txt").write_text("Happy/1\n")
    twice = ("--subset", hard, "--subset", tmp_path / "b" / "hard.txt")
    assert "different names, found 'hard' twice" in str(run(monkeypatch, *options, *twice))
    hard.write_text("Happy/99\n")
    assert "none of its 1 names" in str(run(monkeypatch, *options, "--subset", hard))


@pytest.mark.parametrize("option", ["--output", "--predictions"])
def test_what_is_read_is_not_written_over(
    monkeypatch, option: str, faces: Path, tiny_model: Path, tmp_path: Path
):
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_model.read_bytes())
    table = faces / "table.csv"
    table.write_text("path,label\nHappy/0.png,Happy\nfear/1.png,fear\n")
    subset = tmp_path / "hard.txt"
    subset.write_text("Happy/0\n")
    link = tmp_path / "link.json"
    link.symlink_to(faces / "fear" / "1.png")
    rest = ("--model", model, "--detector", "none", "--subset", subset)
    for data, root, file in (
        ("folder", faces, model),
        ("folder", faces, subset),
        ("folder", faces, faces / "Happy" / "0.png"),
        ("folder", faces, link),
        ("table", table, table),
        ("table", faces, table),
        ("table", table, faces / "Happy" / "0.png"),
    ):
        before = file.read_bytes()
        given = ("--data", data, "--root", root, *rest, option, file)
        assert f"{option} {file}: is read here and would be lost" in str(run(monkeypatch, *given))
        assert file.read_bytes() == before
    photos = write_affectnet_lists(tmp_path / "affectnet")
    for labels in (photos / "Manually_Annotated_file_lists").iterdir():  # of the other part too
        given = ("--data", "affectnet8", "--root", photos, *rest, option, labels)
        assert f"{option} {labels}: is read here and would be lost" in str(run(monkeypatch, *given))
    for _ in range(2):  # a former result may be replaced, wherever it lies
        assert run(monkeypatch, "--data", "folder", "--root", faces, *rest, option, faces / "r.json") == 0


@pytest.mark.parametrize("option", ["--output", "--predictions"])
def test_a_place_that_takes_no_file_is_told_before_the_work(
    monkeypatch, option: str, faces: Path, tiny_model: Path
):
    options = ("--data", "folder", "--root", faces / "none", "--model", tiny_model)
    error = str(run(monkeypatch, *options, option, "/proc/none.json"))
    assert error.startswith(f"crossfer: {option} /proc/none.json: cannot be written (")


def test_copies_are_looked_for_where_a_file_cuts_test_alone(
    monkeypatch, capsys, tmp_path: Path, tiny_model: Path
):
    faces = write_class_folders(tmp_path / "faces", {"Happy": 6, "fear": 6})
    split = tmp_path / "split.csv"
    command = ["data", "split", "folder", "--root", faces, "--valid", "0", "--test", "0.3", "-o", split]
    assert run_main(monkeypatch, *command) == 0
    capsys.readouterr()
    options = ("--data", "folder", "--root", faces, "--split-file", split, "--model", tiny_model)
    assert run(monkeypatch, *options, "--detector", "none", "--leaks", "--format", "json") == 0
    looked = json.loads(capsys.readouterr().out)["leaks"]["looked_in"]
    assert list(looked) == ["train"]


def test_a_model_of_such_a_set_warns_that_it_may_have_learnt_from_it(
    monkeypatch, capsys, faces: Path, tmp_path: Path, random_model: Path
):
    options = ("--data", "folder", "--model", random_model, "--detector", "none")
    assert run(monkeypatch, *options, "--root", faces) == 0
    told = capsys.readouterr().err
    assert told.startswith("crossfer: random learnt from a folder of images; if it was this one")
    assert told.endswith("what its recipe named as data.split_file, else RUN/split.csv\n")
    assert told.count("\n") == 1
    parted = write_class_folders(tmp_path / "parted" / "test", {"fear": 2}).parent
    assert run(monkeypatch, *options, "--root", parted) == 0
    assert capsys.readouterr().err == ""


def test_a_model_of_such_a_set_warns_where_another_split_file_cut_it(
    monkeypatch, capsys, faces: Path, tmp_path: Path, random_model: Path
):
    def cut(valid: float) -> Path:
        split = tmp_path / f"{valid}.csv"
        command = ["data", "split", "folder", "--root", faces, "--valid", valid, "-o", split]
        assert run_main(monkeypatch, *command) == 0
        capsys.readouterr()
        return split

    own, other = cut(0.3), cut(0.6)
    bundle = read_bundle(random_model)
    learnt = f"folder per class, split file {read_split_file(own).digest}"
    meta = replace(bundle.meta, provenance={**bundle.meta.provenance, "protocol": learnt})
    model = tmp_path / "mine.onnx"
    write_bundle(random_model.read_bytes(), meta, model)
    options = (
        "--data",
        "folder",
        "--root",
        faces,
        "--detector",
        "none",
        "--model",
        model,
        "--split",
        "valid",
    )
    assert run(monkeypatch, *options, "--split-file", own) == 0
    assert capsys.readouterr().err == ""
    assert run(monkeypatch, *options, "--split-file", other) == 0
    told = capsys.readouterr().err
    assert f"it was cut by the split file {read_split_file(own).digest}, and this is another" in told


def test_the_run_and_the_result_are_two_files(monkeypatch, faces: Path, tiny_model: Path, tmp_path: Path):
    options = ("--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    files = ("--predictions", tmp_path / "a.json", "-o", faces / ".." / "a.json")
    assert "expected two different files" in str(run(monkeypatch, *options, *files))
    assert not (tmp_path / "a.json").exists()

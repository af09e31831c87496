"""``crossfer calibrate``, and what ``evaluate``, ``compare`` and ``report`` make of its model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossfer.console import as_text
from crossfer.data.sample import DataError
from crossfer.data.source import open_dataset
from crossfer.evaluate import command as evaluating
from crossfer.evaluate.comparison import PairResult
from crossfer.evaluate.examples import choose_examples
from crossfer.evaluate.leaks import find_leaks
from crossfer.evaluate.run_file import read_run
from crossfer.evaluate.tables import comparison_tables
from crossfer.runtime.bundle import read_bundle, with_metadata
from data.layouts import write_class_folders
from support.bundles import tiny_graph, tiny_meta, write_bundle
from support.command import run_main as run


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "faces", {"happiness": 70, "fear": 50})


def test_from_calibration_to_report(monkeypatch, capsys, tmp_path: Path, tiny_model: Path, faces: Path):
    where = ("--data", "folder", "--root", faces)
    model = tmp_path / "calibrated.onnx"
    options = ("--split", "test", "--selective-accuracy", "0.01", "--format", "json")
    assert run(monkeypatch, "calibrate", tiny_model, *where, *options, "-o", model) == 0
    captured = capsys.readouterr()
    found, unseen = json.loads(captured.out), "neutral, surprise, sadness, anger, disgust, contempt"
    assert captured.err == f"crossfer: no image of {unseen}; what was fitted promises nothing for that\n"
    assert (found["fitted_on"]["n"], found["fitted_on"]["looked_in"]) == (120, {})
    assert found["after"]["nll"] <= found["before"]["nll"] + 1e-9
    meta = read_bundle(model).meta
    assert meta.calibration is not None
    assert meta.temperature == found["temperature"] != read_bundle(tiny_model).meta.temperature

    names = []
    for seed in range(2):
        names.append(tmp_path / f"run{seed}.jsonl")
        (tmp_path / "some.txt").write_text("happiness/3.png\nfear/4.png\n")
        asked = ("--subset", tmp_path / "some.txt", "--evidence-test", "--seed", seed, "--detector", "none")
        evaluate = ("evaluate", "--model", model, *where, *asked, "--predictions", names[-1])
        assert run(monkeypatch, *evaluate, "--format", "json") == 0
        result = json.loads(capsys.readouterr().out)
        assert result["subsets"]["some"]["n"] == 2
        assert result["evidence"]["seed"] == seed
        assert result["sets"][1]["target"] == 0.9
        # The model was calibrated on these very images, so that its sets hold at least what they promise.
        assert all(held["coverage"] >= held["target"] for held in result["sets"])
        assert result["provenance"]["command"].startswith("crossfer evaluate --model ")
    assert run(monkeypatch, *evaluate, "--format", "text") == 0
    text = capsys.readouterr().out
    assert "prediction sets" in text
    assert "with --abstain" in text

    before, other = tmp_path / "before.jsonl", tmp_path / "other.jsonl"
    seed = write_bundle(tmp_path / "seed.onnx", tiny_graph(tiny_meta(), seed=1), tiny_meta().to_json())
    for network, answers in ((tiny_model, before), (seed, other)):
        asked = ("evaluate", "--model", network, *where, "--detector", "none", "--predictions", answers)
        assert run(monkeypatch, *asked) == 0
    assert "found run0 and before of the same one" in str(run(monkeypatch, "compare", names[0], before))
    assert run(monkeypatch, "compare", names[0], other) == 0
    assert "accuracy" in capsys.readouterr().out
    assert run(monkeypatch, "compare", names[0], "--with", names[1], "--format", "json") == 0
    assert "cannot be told apart" in json.loads(capsys.readouterr().out)["statement"]
    assert "at least two runs (seeds) of each recipe" in str(
        run(monkeypatch, "compare", names[0], other, "--with", names[1])
    )

    assert run(monkeypatch, "report", names[0], "-o", tmp_path / "report.html", "--model", model) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    examples = choose_examples(read_run(names[0]).predictions)
    assert {example.truth for example in examples} == {"happiness", "fear"}
    assert page.count("<img") == 4 + len(examples)  # risk, confusion, reliability, map
    assert "http" not in page
    assert "Examples" in page
    assert run(monkeypatch, "report", *names, "-o", tmp_path / "report.md") == 0
    assert "| run0 | 120 |" in (tmp_path / "report.md").read_text("utf-8")
    assert run(monkeypatch, "report", *names, "-o", tmp_path / "report.json") == 0
    assert set(json.loads((tmp_path / "report.json").read_text())["runs"]) == {"run0", "run1"}
    assert "ends in .html, .htm, .md, .json" in str(
        run(monkeypatch, "report", *names, "-o", tmp_path / "r.pdf")
    )


def test_what_was_fitted_is_written_into_the_model_that_answered(
    monkeypatch, tmp_path: Path, tiny_model: Path, faces: Path
):
    """Another may be exported to its name meanwhile."""
    model, content = tmp_path / "model.onnx", tiny_model.read_bytes()
    model.write_bytes(content)
    predict = evaluating.predict_with_progress

    def slow(*given):
        answers = predict(*given)
        write_bundle(model, tiny_graph(tiny_meta(), seed=1), tiny_meta().to_json())
        return answers

    monkeypatch.setattr(evaluating, "predict_with_progress", slow)
    options = ("--data", "folder", "--root", faces, "--split", "test", "-o", tmp_path / "new.onnx")
    assert run(monkeypatch, "calibrate", model, *options) == 0
    new = tmp_path / "new.onnx"
    assert new.read_bytes() == with_metadata(content, read_bundle(new).meta)


def test_a_run_is_neither_counted_twice_nor_written_over(monkeypatch, tmp_path: Path, tiny_model: Path):
    faces = write_class_folders(tmp_path / "few", {"fear": 4})
    one, copy = tmp_path / "a.json", tmp_path / "b.json"
    asked = ("evaluate", "--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *asked, "--predictions", one) == 0
    copy.write_bytes(one.read_bytes())
    assert "different networks on one side, found a and b" in str(run(monkeypatch, "compare", one, copy))
    for twice in ((one, one), (one, "--with", one), (one, copy, "--with", one)):
        assert "expected each run once, found it 2 times" in str(run(monkeypatch, "compare", *twice))
    for command in (("report", one), ("compare", one, copy), ("compare", copy, "--with", one)):
        assert "is read here and would be lost" in str(run(monkeypatch, *command, "-o", one))
    assert copy.read_bytes() == one.read_bytes()


def test_runs_of_one_name_are_told_apart_by_their_folders(
    monkeypatch, capsys, tmp_path: Path, tiny_model: Path
):
    faces = write_class_folders(tmp_path / "few", {"fear": 4})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    asked = ("evaluate", "--data", "folder", "--root", faces, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, *asked, "--predictions", "run.json") == 0
    Path("a/run.json").write_bytes(Path("run.json").read_bytes())
    capsys.readouterr()
    assert run(monkeypatch, "compare", "run.json", "--with", "a/run.json") == 0
    assert "a/run.json is " in capsys.readouterr().out
    found = str(run(monkeypatch, "report", "run.json", "a/run.json", "-o", "r.md"))
    assert "different names, found run.json and a/run.json; rename one" in found


def test_too_few_images_and_train_are_refused(monkeypatch, tmp_path: Path, tiny_model: Path):
    few = write_class_folders(tmp_path / "few", {"happiness": 3})
    where = ("--data", "folder", "--root", few, "-o", tmp_path / "new.onnx")
    error = str(run(monkeypatch, "calibrate", tiny_model, *where, "--split", "test"))
    assert "expected at least 100 images to calibrate on that do not occur in train, found 3 of 3" in error
    assert "not learnt from" in str(run(monkeypatch, "calibrate", tiny_model, *where, "--split", "train"))
    official = ("--data", "ferplus", "--root", few, "-o", tmp_path / "new.onnx", "--split", "test")
    assert "no longer measures it; use valid" in str(run(monkeypatch, "calibrate", tiny_model, *official))
    assert not (tmp_path / "new.onnx").exists()


def test_images_of_one_class_are_refused(monkeypatch, tmp_path: Path, tiny_model: Path):
    faces = write_class_folders(tmp_path / "faces", {"anger": 100})
    (faces / "fear").mkdir()
    where = ("--data", "folder", "--root", faces, "--split", "test", "-o", tmp_path / "new.onnx")
    error = str(run(monkeypatch, "calibrate", tiny_model, *where))
    assert "expected images of at least two classes, found only anger; check --root and --split" in error
    assert not (tmp_path / "new.onnx").exists()


def test_leaks_are_found_in_train(monkeypatch, capsys, tmp_path: Path, tiny_model: Path):
    write_class_folders(tmp_path / "train", {"happiness": 5, "fear": 5}, size=(64, 64))
    write_class_folders(tmp_path / "test", {"happiness": 3}, size=(48, 48))
    copied = Image.open(tmp_path / "train" / "fear" / "2.png")
    (tmp_path / "test" / "fear").mkdir()
    copied.save(tmp_path / "test" / "fear" / "copy.png")
    pixels = np.asarray(Image.open(tmp_path / "train" / "happiness" / "1.png"))[:, ::-1]
    Image.fromarray(pixels).save(tmp_path / "test" / "happiness" / "mirrored.png")
    options = ("--data", "folder", "--root", tmp_path, "--model", tiny_model, "--detector", "none")
    assert run(monkeypatch, "evaluate", *options, "--leaks", "--format", "json") == 0
    leaks = json.loads(capsys.readouterr().out)["leaks"]
    assert leaks["looked_in"] == {"train": 10}
    assert leaks["identical"] == 1
    assert (leaks["leaked"]["n"], leaks["clean"]["n"]) == (2, 3)


def test_near_copies_within_a_set_have_one_group(tmp_path: Path):
    write_class_folders(tmp_path / "train", {"happiness": 3}, size=(64, 64))
    write_class_folders(tmp_path / "test", {"happiness": 3}, size=(48, 48))
    pixels = np.asarray(Image.open(tmp_path / "test" / "happiness" / "1.png"))
    Image.fromarray(pixels[:, ::-1]).save(tmp_path / "test" / "happiness" / "mirrored.png")
    here, other = (open_dataset("folder", tmp_path, split=split) for split in ("test", "train"))
    leaks = find_leaks(here, [other])
    assert set(leaks.groups) == {sample.path for sample in here.samples}
    assert len(set(leaks.groups.values())) == 3
    mirrored, original = (
        next(group for path, group in leaks.groups.items() if path.endswith(name))
        for name in ("mirrored.png", "1.png")
    )
    assert mirrored == original


def test_a_set_with_parts_is_not_fitted_on_its_test(monkeypatch, tmp_path: Path, tiny_model: Path):
    for split in ("train", "test"):
        write_class_folders(tmp_path / "faces" / split, {"happiness": 3})
    rows = "path,label,split\nfaces/train/happiness/0.png,happiness,train\n"
    (tmp_path / "table.csv").write_text(rows + "faces/test/happiness/0.png,happiness,test\n")
    options = ("calibrate", tiny_model, "-o", tmp_path / "new.onnx", "--split", "test")
    for where in (
        ("--data", "folder", "--root", tmp_path / "faces"),
        ("--data", "table", "--root", tmp_path / "table.csv"),
        ("--data", "folder", "--root", tmp_path / "faces" / "test", "--split-file", tmp_path / "any.csv"),
    ):
        assert "no longer measures it; use valid" in str(run(monkeypatch, *options, *where))


@pytest.mark.parametrize("named", [(), ("--classes", "test, val")])
def test_a_class_folder_of_a_parts_name_is_no_part(
    monkeypatch, capsys, tmp_path: Path, named: tuple[str, ...]
):
    faces = write_class_folders(tmp_path / "faces", {"test": 60, "val": 60})
    learnt = {"data": "folder", "recipe": "mine", "license": "mine"}
    meta = replace(tiny_meta(), label_set="mine", labels=("test", "val"), provenance=learnt)
    model = write_bundle(tmp_path / "mine.onnx", tiny_graph(meta), meta.to_json())
    where = ("--data", "folder", "--root", faces, *named)
    fitted = ("--split", "test", "--selective-accuracy", "0.01", "-o", tmp_path / "new.onnx")
    assert run(monkeypatch, "calibrate", model, *where, *fitted) == 0
    assert "most of these are images that it knows" in capsys.readouterr().err
    asked = ("--model", model, "--detector", "none", "--leaks")
    assert "found neither" in str(run(monkeypatch, "evaluate", *where, *asked))


def test_a_model_is_written_as_onnx_alone(monkeypatch, tmp_path: Path, tiny_model: Path, faces: Path):
    options = ("--data", "folder", "--root", faces, "--split", "test", "-o", tmp_path / "model.txt")
    error = str(run(monkeypatch, "calibrate", tiny_model, *options))
    assert error.endswith("model.txt: expected a name that ends in .onnx")
    assert not (tmp_path / "model.txt").exists()


def test_an_unreadable_image_of_train_is_no_silent_gap(monkeypatch, capsys, tmp_path: Path, tiny_model: Path):
    write_class_folders(tmp_path / "train", {"happiness": 5, "fear": 5}, size=(64, 64))
    write_class_folders(tmp_path / "test", {"happiness": 3}, size=(48, 48))
    (tmp_path / "train" / "fear" / "2.png").write_bytes(b"no image")
    options = ("--data", "folder", "--root", tmp_path, "--model", tiny_model, "--detector", "none", "--leaks")
    error = run(monkeypatch, "evaluate", *options)
    assert "fear/2.png: expected a JPEG, PNG" in str(error)
    capsys.readouterr()
    assert run(monkeypatch, "evaluate", *options, "--skip-bad", "--format", "json") == 0
    captured = capsys.readouterr()
    skipped = json.loads(captured.out)["skipped"]
    assert (skipped["count"], "fear/2.png" in skipped["reasons"][0]) == (1, True)
    assert captured.err == f"left out: {skipped['reasons'][0]}\n"


def test_a_bad_row_of_a_table_that_the_splits_share_is_told_once(
    monkeypatch, capsys, tmp_path: Path, tiny_model: Path
):
    write_class_folders(tmp_path, {"happiness": 9, "fear": 9}, size=(48, 48))
    rows = [
        f"{name}/{i}.png,{name},{split}"
        for name in ("happiness", "fear")
        for i, split in enumerate(("train", "valid", "test") * 3)
    ]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,split", "happiness/0.png", *rows]) + "\n")
    asked = ("--model", tiny_model, "--detector", "none", "--leaks", "--format", "json")
    where = ("--data", "table", "--root", tmp_path / "table.csv", "--skip-bad")
    assert run(monkeypatch, "evaluate", *where, *asked) == 0
    captured = capsys.readouterr()
    skipped = json.loads(captured.out)["skipped"]
    assert (skipped["count"], "line 2: expected 3 cells" in skipped["reasons"][0]) == (1, True)
    assert captured.err == f"left out: {skipped['reasons'][0]}\n"
    run(monkeypatch, "calibrate", tiny_model, *where, "-o", tmp_path / "new.onnx")
    assert capsys.readouterr().err.count("left out: ") == 1


def test_an_image_that_goes_bad_later_is_no_gap_either(tmp_path: Path):
    """It may become unreadable between the listing and the search for copies."""
    write_class_folders(tmp_path / "train", {"happiness": 2})
    write_class_folders(tmp_path / "test", {"happiness": 2})
    here, other = (open_dataset("folder", tmp_path, split=split) for split in ("test", "train"))
    (tmp_path / "train" / "happiness" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"train/happiness/1\.png: expected a JPEG"):
        find_leaks(here, [other])


def test_names_of_networks_are_no_markup():
    names = ("net[red]seed1", "net:smile:")
    text = as_text(comparison_tables(PairResult(*names, 1, 1, (0, 1), 1, (0, 1), 0, 1, 0.5)))
    assert all(text.count(name) == 2 for name in names)

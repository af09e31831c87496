"""``recipes/finetune.toml`` on a folder per class, as a user runs it: train, export, predict."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossfer.data.synthetic import SKETCHES, draw_face
from crossfer.runtime.bundle import read_bundle
from data.layouts import save
from support.torch_state import one_thread

__all__ = ["one_thread"]

RECIPE = Path(__file__).parents[2] / "recipes" / "finetune.toml"
SHORT = ("--set", "optim.epochs=2", "--set", "optim.batch_size=8", "--set", "optim.precision=32-true")
CLASSES = {"Happy": "happiness", "Grumpy": "anger", "amazed": "surprise"}


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    """Faces in folders of the user's own names."""
    for k, (name, sketch) in enumerate(CLASSES.items()):
        for i in range(count):
            face = draw_face(SKETCHES[sketch], np.random.default_rng([seed, k, i]))
            save(folder / name / f"{i:03d}.png", face)
    return folder


def test_from_a_folder_of_faces_to_a_model_of_one_s_own(run, capsys, tmp_path: Path):
    faces, mine, model = draw(tmp_path / "faces", 10), tmp_path / "runs" / "mine", tmp_path / "mine.onnx"
    assert run("train", RECIPE, "--root", faces, "-o", mine, *SHORT) == 0
    said = " ".join(capsys.readouterr().err.split())
    name = read_bundle("default").meta.provenance["recipe"]["name"]
    assert f"starts from the network of {name}; its head kept for happiness, new for amazed, grumpy" in said
    assert f"20 % of each class cut out of train for validation: {mine / 'split.csv'}" in said
    learnt, held_out = (int(n) for n in re.findall(r"(?:train|valid): (\d+) faces", said))
    assert learnt + held_out == 30
    assert held_out >= 3

    assert run("train", RECIPE, "--root", faces, "-o", mine, *SHORT, "--set", "optim.epochs=3") == (
        f"crossfer: {mine}: holds a run already; add --resume to go on with it or name another folder"
    )
    assert run("export", mine, "-o", model, "--root", faces, "--name", "my faces") == 0
    assert "validation accuracy" in capsys.readouterr().out
    meta = read_bundle(model).meta
    assert meta.name == "my faces"
    assert meta.labels == ("amazed", "grumpy", "happiness")
    assert meta.provenance["recipe"]["model"]["init"] == "base"
    assert meta.provenance["license"].endswith("started from the weights base, whose licence applies as well")
    assert str(tmp_path).encode() not in model.read_bytes()

    new = draw(tmp_path / "new", 1, seed=1)
    assert run("predict", new, "--model", model, "--detector", "none", "--format", "json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 3
    assert {face["expression"] for answer in answers for face in answer["faces"]} <= set(meta.labels)
    assert run("evaluate", "--data", "folder", "--root", new, "--model", model, "--detector", "none") == 0
    split = ("--split", "valid", "--split-file", mine / "split.csv", "--detector", "none", "--format", "json")
    assert run("evaluate", "--data", "folder", "--root", faces, "--model", model, *split) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == held_out

    assert run("export", mine, "-o", tmp_path / "mine.safetensors") == 0
    assert "half precision changes a logit by at most" in capsys.readouterr().out
    again = ("--set", f"model.init={tmp_path / 'mine.safetensors'}", "--set", "optim.epochs=1")
    assert run("train", RECIPE, "--root", faces, "-o", tmp_path / "again", *SHORT, *again) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the network of finetune; its head kept for amazed, grumpy, happiness" in said


def test_it_goes_on_where_it_was_with_the_split_it_had(run, capsys, tmp_path: Path):
    faces, mine = draw(tmp_path / "faces", 5), tmp_path / "mine"
    assert run("train", RECIPE, "--root", faces, "-o", mine, *SHORT, "--set", "optim.epochs=1") == 0
    split = (mine / "split.csv").read_bytes()
    moved = shutil.move(faces, tmp_path / "moved")
    assert (
        run("train", RECIPE, "--root", moved, "-o", mine, *SHORT, "--set", "optim.epochs=1", "--resume") == 0
    )
    assert (mine / "split.csv").read_bytes() == split
    assert "starts from" not in capsys.readouterr().err.split("\n", maxsplit=20)[-1]
    shutil.copy(Path(moved) / "Happy/000.png", Path(moved) / "Happy/new.png")
    message = run("train", RECIPE, "--root", moved, "-o", mine, *SHORT, "--set", "optim.epochs=1", "--resume")
    told = f"{mine / 'split.csv'}: 1 of 16 images of train are not in the split file, first Happy/new.png; "
    assert f"{told}it was cut for a run from images other than these: put the data back" in str(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "model.width=16"), "those weights have model.width = 32, the recipe says 16"),
        (
            ("--set", "model.init=defualt"),
            "'defualt': expected a safetensors file or one of the embedded models",
        ),
        (("--set", "data.valid_share=0.001"), None),
        (("--set", "data.classes=happiness,sadness"), "images of an unknown expression 'Grumpy'"),
    ],
)
def test_what_does_not_fit_stops_before_any_work(run, tmp_path: Path, arguments, message: str | None):
    faces, mine = draw(tmp_path / "faces", 2), tmp_path / "mine"
    found = run("train", RECIPE, "--root", faces, "-o", mine, *SHORT, "--set", "optim.epochs=1", *arguments)
    if message is None:
        assert found == 0
        return
    assert message in str(found)
    assert "\n" not in str(found)
    assert not mine.exists()


def test_one_face_a_class_is_too_few(run, tmp_path: Path):
    faces = draw(tmp_path / "faces", 1)
    message = str(run("train", RECIPE, "--root", faces, "-o", tmp_path / "mine", *SHORT))
    assert message == "crossfer: folder: 3 images leave none for valid; ask for more"


def test_a_name_that_says_no_form(run, tmp_path: Path):
    message = run("export", tmp_path, "-o", tmp_path / "model.pt")
    assert str(message).endswith("model.pt: expected a name that ends in .onnx, .safetensors")
    message = run("export", tmp_path, "-o", tmp_path / "w.safetensors", "--mirror")
    assert "--mirror: belongs to an .onnx file" in str(message)
    message = run("export", tmp_path, "-o", tmp_path / "w.safetensors", "--name", "mine")
    assert "--name: belongs to an .onnx file" in str(message)
    message = run("export", tmp_path, "-o", tmp_path / "w.onnx", "--name", "mi\nne")
    assert str(message) == r"crossfer: --name 'mi\nne': expected 1 to 60 printable characters"

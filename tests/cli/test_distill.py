"""``crossfer distill`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

from crossfer.runtime.bundle import read_bundle
from support.command import crossfer

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ["--set", "data.samples=96", "--set", "optim.epochs=2", "--set", "optim.batch_size=32"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    trained = crossfer("train", RECIPES / "smoke.toml", "-o", folder, *SMALL)
    assert trained.returncode == 0, trained.stderr
    return folder


def test_from_two_teachers_to_a_smaller_student_that_says_who_taught_it(
    teacher: Path, tmp_path: Path
) -> None:
    student = ["--set", "model.width=6", "--set", "name=student"]
    run, small, model = tmp_path / "run", tmp_path / "small.safetensors", tmp_path / "student.onnx"
    assert crossfer("export", teacher, "-o", small).returncode == 0
    taught = crossfer(
        "distill", RECIPES / "smoke.toml", "--teacher", teacher, "--teacher", small, "--share", "0.7",
        "-o", run, *SMALL, *student,
    )  # fmt: skip
    assert taught.returncode == 0, taught.stderr
    assert "taught by smoke, smoke" in taught.stderr
    assert "validation accuracy" in taught.stdout
    assert crossfer("export", run, "-o", model).returncode == 0
    about = read_bundle(model).meta.provenance
    assert about["recipe"]["distill"]["teachers"] == ["run", "small.safetensors"]
    assert about["recipe"]["distill"]["share"] == 0.7
    assert list(about["teachers"].values()) == ["smoke", "smoke"]
    assert "taught by run, small.safetensors, whose licence applies as well" in about["license"]
    assert onnxruntime.InferenceSession(str(model)).get_inputs()[0].shape[1:] == [1, 48, 48]


def test_without_a_teacher_nothing_begins(tmp_path: Path) -> None:
    done = crossfer("distill", RECIPES / "smoke.toml", "-o", tmp_path / "run")
    assert done.returncode == 1
    assert "smoke.toml: names no teachers under [distill]; name them with --teacher MODEL" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("default", "distill.teachers = 'base': "),
        ("gone.safetensors", "distill.teachers = 'gone.safetensors': gone.safetensors: no such checkpoint"),
    ],
)
def test_who_cannot_teach_is_named_before_a_face_is_read(tmp_path: Path, named: str, message: str) -> None:
    run = tmp_path / "run"
    faces = tmp_path / "faces"
    three = ["--set", "data.name=folder", "--set", "data.classes=found", "--set", "data.target=label"]
    for split in ("train", "valid"):
        for name in ("happiness", "sadness", "anger"):
            folder = faces / split / name
            folder.mkdir(parents=True)
            Image.new("L", (48, 48)).save(folder / "a.png")
    done = crossfer(
        "distill", RECIPES / "smoke.toml", "--teacher", named, "-o", run, *three, "--root", tmp_path / "faces"
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
    assert not run.exists()


def test_a_teacher_s_name_may_have_any_characters(run, tmp_path: Path) -> None:
    for name in ("\N{GRINNING FACE}", "Lehrerin mit ß", 'with "quotes" and \\'):
        path = tmp_path / f"{name}.safetensors"
        message = run("distill", RECIPES / "smoke.toml", "--teacher", path, "-o", tmp_path / "run", *SMALL)
        assert str(message).endswith(f"{path}: no such checkpoint")

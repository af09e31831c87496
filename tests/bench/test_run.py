"""What is measured is what is used, over the batches and threads that are promised."""

from __future__ import annotations

import numpy as np
import pytest

from crossfer import Recognizer
from crossfer.bench import run
from crossfer.bench.contender import read_contenders, scorer
from crossfer.bench.photo import Photos, open_photo
from crossfer.bench.run import ANSWER, DETECTOR, FULL, PREDICT, Case, Plan, run_bench, thread_counts
from crossfer.bench.timing import Pace
from crossfer.runtime.align import CropGeometry
from crossfer.runtime.bundle import BundleError


@pytest.fixture(scope="module")
def photos() -> Photos:
    return open_photo(None)


def test_threads_double_up_to_the_most():
    assert [thread_counts(most) for most in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8]]


def test_every_batch_on_one_thread_and_on_all_and_the_ends_between(tiny_model, photos):
    contenders = [contender for contender, _ in read_contenders([str(tiny_model)])]
    face = np.zeros((48, 48, 3), np.uint8)
    cases = run.face_cases(contenders, face, 4, FULL)
    asked = sorted((case.threads, case.batch) for case in cases)
    every = [1, 4, 16, 64, 256]
    assert asked == [(1, b) for b in every] + [(2, 1), (2, 64)] + [(4, b) for b in every]
    assert all(len(call()) == case.batch for case, call in cases.items())


def test_faces_get_the_logits_that_users_get(tiny_model, photos):
    recognizer = Recognizer(tiny_model)
    face = photos.face(recognizer.meta.input.crop)
    (expected,) = recognizer.classify([face])
    logits = scorer(str(tiny_model), 1)([face] * 3)
    assert np.allclose(logits, expected.logits)


def test_photos_get_the_answers_that_users_get(tiny_model, photos):
    contenders = [contender for contender, _ in read_contenders([str(tiny_model)])]
    cases = run.photo_cases(contenders, photos, 2)
    assert len(cases) == 2 + 2 * 2 * 2
    for photo in photos.sizes:
        answer = cases[Case(ANSWER, contenders[0].label, 1, size=photo.size)]()
        assert answer == Recognizer(tiny_model, threads=1).recognize(photo.jpeg)
        assert [face.box for face in answer] == [
            face.box for face in cases[Case(DETECTOR, threads=1, size=photo.size)]()
        ]


def test_the_command_that_is_timed_answers(tiny_model, photos, tmp_path):
    contenders = [contender for contender, _ in read_contenders([str(tiny_model)])]
    file = run._written(tmp_path, photos.sizes[0])
    commands = run.start_commands(contenders, photos.sizes[0], file)
    told = run.run_to_end(commands[Case(PREDICT, contenders[0].label, size=(640, 480))])
    assert '"expression": ' in told


def test_models_take_turns_and_are_compared_with_the_first(tiny_model, photos):
    contenders = [contender for contender, _ in read_contenders([str(tiny_model), str(tiny_model)])]
    plan = Plan((1, 4), (1,), Pace(budget=0.01, block=0.001), Pace(budget=0.01), peaks=1)
    face, told = photos.face(CropGeometry()), []
    things = run.face_cases(contenders, face, 1, plan)
    section = run._timed("faces", "faces/s", things, plan.pace, lambda *what: told.append(what))
    rows = section.to_dict(contenders[0].label)["rows"]
    assert [(row["model"], row["batch"]) for row in rows] == [
        ("tiny.onnx", 1), ("tiny.onnx (2)", 1), ("tiny.onnx", 4), ("tiny.onnx (2)", 4)
    ]  # fmt: skip
    assert [row["model"] for row in rows if "to_first" in row] == ["tiny.onnx (2)"] * 2
    assert told[0] == ("faces", 0, 0)
    assert told[-1] == ("faces", 4 * section.rounds, 4 * section.rounds)


def test_models_named_twice_are_told_apart(tiny_model):
    named = [str(tiny_model), "default", str(tiny_model), str(tiny_model)]
    labels = [contender.label for contender, _ in read_contenders(named)]
    assert labels == ["tiny.onnx", "default", "tiny.onnx (2)", "tiny.onnx (3)"]


@pytest.mark.parametrize(("models", "threads"), [([], None), (["default"], 0), (["default"], -1)])
def test_nothing_to_measure_is_an_error(models, threads):
    with pytest.raises(ValueError, match="at least 1 thread"):
        run_bench(models, threads=threads)


def test_a_model_that_is_not_there_is_an_error_before_anything_is_measured():
    told: list[str] = []
    with pytest.raises(BundleError, match="nosuch"):
        run_bench(["default", "nosuch"], tell=lambda section, done, total: told.append(section))
    assert told == []


def test_an_interruption_leaves_no_files(tiny_model, tmp_path, monkeypatch):
    def stopped(command: list[str]) -> str:
        assert list(tmp_path.rglob("*.jpg"))
        raise KeyboardInterrupt

    def empty(*arguments: object) -> dict:
        return {}

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(run, "run_to_end", stopped)
    monkeypatch.setattr(run, "face_cases", empty)
    monkeypatch.setattr(run, "photo_cases", empty)
    with pytest.raises(KeyboardInterrupt):
        run_bench([str(tiny_model)], quick=True)
    assert list(tmp_path.iterdir()) == []

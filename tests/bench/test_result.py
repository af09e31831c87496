"""Rows with their ratios, and the tables of them."""

from __future__ import annotations

import json

import pytest

from crossfer.bench.contender import Contender
from crossfer.bench.machine import Machine
from crossfer.bench.photo import open_photo
from crossfer.bench.result import BenchResult, Case, Section
from crossfer.bench.run import ANSWER, DETECTOR, FACES, PREDICT, VERSION
from crossfer.bench.tables import bench_text

ROUNDS = 8


def steady(value: float) -> tuple[float, ...]:
    """Rounds on a machine that slows down, with the median given."""
    return tuple(value * (1 + 0.01 * (number - (ROUNDS - 1) / 2)) for number in range(ROUNDS))


RATES = {
    Case(FACES, "one", 1, 1): 100.0,
    Case(FACES, "one", 1, 64): 150.0,
    Case(FACES, "one", 2, 1): 180.0,
    Case(FACES, "one", 2, 64): 290.0,
    Case(FACES, "two", 1, 1): 250.0,
    Case(FACES, "two", 1, 64): 450.0,
}
TIMES = {
    Case(DETECTOR, threads=1, size=(640, 480)): 45.0,
    Case(ANSWER, "one", 1, size=(640, 480)): 60.0,
    Case(ANSWER, "one", 2, size=(640, 480)): 40.0,
    Case(ANSWER, "two", 1, size=(640, 480)): 50.0,
}
PROCESSES = {
    Case(VERSION): 200.0,
    Case(PREDICT, "one", size=(640, 480)): 600.0,
    Case(PREDICT, "two", size=(640, 480)): 500.0,
}


@pytest.fixture(scope="module")
def values() -> dict:
    contenders = tuple(
        Contender(label, f"/home/me/{label}", "net", "0123456789abcdef", 12_000_000, 48, "gray")
        for label in ("one", "two")
    )
    sections = (
        Section("faces", "faces/s", {case: steady(rate) for case, rate in RATES.items()}),
        Section("photo", "ms", {case: steady(time) for case, time in TIMES.items()}),
        Section("start", "ms", {case: steady(time) for case, time in PROCESSES.items()}),
        Section("memory", "MB", {case: (value,) for case, value in PROCESSES.items()}),
    )
    return BenchResult(Machine.here(), contenders, open_photo(None), sections, quick=True).to_dict()


def row(values: dict, section: str, **wanted: object) -> dict:
    (found,) = [
        row
        for row in values["measured"][section]["rows"]
        if all(row.get(key) == value for key, value in wanted.items())
    ]
    return found


def test_more_faces_a_second_are_faster_and_fewer_milliseconds_too(values):
    faces = row(values, "faces", model="two", threads=1, batch=64)
    assert faces["to_first"]["median"] == pytest.approx(3.0)
    assert faces["to_batch_1"]["median"] == pytest.approx(1.8)
    assert "to_one_thread" not in faces
    both = row(values, "faces", model="one", threads=2, batch=64)
    assert both["to_one_thread"]["median"] == pytest.approx(290 / 150)
    assert "to_first" not in both
    assert row(values, "photo", model="two", threads=1)["to_first"]["median"] == pytest.approx(1.2)
    assert row(values, "photo", model="one", threads=2)["to_one_thread"]["median"] == pytest.approx(1.5)


def test_what_all_rounds_say_alike_has_a_narrow_interval(values):
    ratio = row(values, "faces", model="two", threads=1, batch=1)["to_first"]
    assert ratio == pytest.approx({"median": 2.5, "low": 2.5, "high": 2.5})


def test_too_few_rounds_give_no_ratios(values):
    assert "to_first" in row(values, "start", model="two")
    assert "to_first" not in row(values, "memory", model="two")


def test_values_are_plain_and_hold_no_path_of_the_user(values):
    text = json.dumps(values)
    assert json.loads(text) == values
    assert "/home/me" not in text


def test_the_text_has_a_line_for_every_case(values):
    text = bench_text(json.loads(json.dumps(values)))
    lines = text.splitlines()
    assert sum(line.startswith(("one ", "two ")) for line in lines) == len(RATES)
    others = [line for line in lines if line.startswith((ANSWER, DETECTOR, VERSION, PREDICT))]
    assert len(others) == len(TIMES) + 2 * len(PROCESSES)
    long = json.dumps(values).replace('"two"', '"a model whose file has a rather long name.onnx"')
    assert len(bench_text(json.loads(long)).splitlines()) == len(lines), "a row is a line"
    (compared,) = [line.split() for line in lines if line.startswith("two") and " 64 " in line]
    assert " ".join(compared) == "two 1 64 450.0 442.1 to 457.9 1.80 3.00 (3.00 to 3.00)"
    assert "\x1b" not in text


def test_a_busy_machine_and_a_limited_one_are_said_to_be_so(values):
    machine = values["machine"] | {"cores": 2, "cores_there": 16, "quota": 1.5}
    text = bench_text(values | {"machine": machine, "others": 0.42})
    assert "2 of 16 cores, limited to 1.5" in text
    assert "others took 42 % of the processors meanwhile; on an idle machine it is faster\n" in text
    assert "others took 2 % of the processors meanwhile\n" in bench_text(values | {"others": 0.02})
    assert "others" not in bench_text(values | {"others": None})


def test_a_system_without_memory_figures_is_said_to_be_one(values):
    measured = {name: section for name, section in values["measured"].items() if name != "memory"}
    assert "Memory is not measured" in bench_text(values | {"measured": measured})

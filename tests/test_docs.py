"""The docs agree with the code: commands are all there, links lead somewhere."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from crossfer.bench.tables import bench_text
from crossfer.cli import app
from crossfer.labels import FERPLUS
from crossfer.runtime.results import ImageResult, csv_header
from crossfer.types import Box, Face, Prediction
from support.clips import Place, frames_with, head, write_clip

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


def test_the_command_reference_is_the_generated_one() -> None:
    generated = subprocess.run(
        [sys.executable, "-m", "typer", "crossfer.cli", "utils", "docs", "--name", "crossfer"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    written = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert written.split() == generated.split(), "run `make docs`"


def test_the_reference_of_recipes_is_the_generated_one() -> None:
    command = [sys.executable, str(ROOT / "docs" / "recipe_keys.py")]
    generated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "recipes.md").read_text("utf-8") == generated, "run `make docs`"
    undescribed = [
        line for line in generated.splitlines() if line.startswith("| `") and line.endswith("|  |")
    ]
    assert undescribed == []


def test_the_tables_of_studies_are_those_that_their_command_writes(tmp_path: Path) -> None:
    pages = [page for page in ROOT.glob("docs/*.md") if "<!-- study: " in page.read_text("utf-8")]
    assert ROOT / "docs/method.md" in pages
    for page in pages:
        written, copy = page.read_text("utf-8"), tmp_path / page.name
        copy.write_text(re.sub(r"( \| \d \| )[0-9.]+ ± ", r"\g<1>0.00 ± ", written), "utf-8")
        assert copy.read_text("utf-8") != written
        subprocess.run([sys.executable, str(ROOT / "docs" / "study_tables.py"), str(copy)], check=True)
        assert copy.read_text("utf-8") == written, "run `make docs`"


def test_every_command_and_option_has_help() -> None:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_accuracy_table_is_the_one_that_its_command_writes(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    readme = (ROOT / "README.md").read_text("utf-8")
    page.write_text(re.sub(r"\| \*\*crossfer, `base`\*\*.*\n", "| stale |\n", readme), "utf-8")
    assert page.read_text("utf-8") != readme
    command = [sys.executable, str(ROOT / "docs" / "accuracy_table.py"), "--write", str(page)]
    subprocess.run(command, check=True)
    assert page.read_text("utf-8") == readme, "run `make docs`"


def test_figures_in_the_readme_are_those_of_the_result_file() -> None:
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    scores = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))
    clean = scores["leaks"]["clean"]
    assert f"**{100 * scores['accuracy']:.2f} %**" in readme
    assert f"the mean gap between confidence and accuracy | {scores['ece']:.3f} |" in readme
    support = {name: row["support"] for name, row in scores["per_class"].items()}
    assert f"disgust and contempt have {support['disgust']} and {support['contempt']} images" in readme
    assert f"images | {100 * scores['mean_class_accuracy']:.2f} % |" in readme
    rare = [f"{100 * scores['per_class'][name]['recall']:.0f}" for name in ("fear", "contempt", "disgust")]
    assert f"(recall {rare[0]}, {rare[1]} and {rare[2]} %;" in readme
    assert f"| {100 * scores['accuracy']:.2f} % (test)" not in readme
    assert f"without the {scores['leaks']['leaked']['n']} test images that also occur in train" in readme
    assert f"{100 * clean['accuracy']:.2f} % (n = {clean['n']:,})" in readme


def test_the_robustness_in_the_docs_is_that_of_the_result_file_of_the_embedded_model() -> None:
    found = json.loads((ROOT / "results/robustness/base-ferplus-valid.json").read_text("utf-8"))
    model = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))["model"]
    assert (found["model"], found["split"], found["n"]) == (model, "valid", 3199)
    page = (ROOT / "docs/evaluation.md").read_text("utf-8")
    for kind, accuracies in found["corruptions"]["accuracy"].items():
        rates = [f"{100 * x:.2f}" for x in (found["accuracy"], *accuracies)]
        assert f"| {' | '.join([kind, *rates])} |" in page
    assert f"mean over all 35 is {100 * found['corruptions']['mean']:.2f} %" in page


def test_the_speeds_in_the_docs_are_those_of_the_result_file_of_the_embedded_model() -> None:
    values = json.loads((ROOT / "results/bench/embedded.json").read_text("utf-8"))
    model = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))["model"]
    assert values["models"][0]["sha256"] == model["sha256"], "measure again: crossfer bench"
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    assert f"```\n{bench_text(values)}```" in page


def test_the_speeds_in_the_readme_are_those_of_the_result_file() -> None:
    measured = json.loads((ROOT / "results/bench/embedded.json").read_text("utf-8"))["measured"]

    def row(kind: str, **wanted: object) -> dict:
        (found,) = [r for r in measured[kind]["rows"] if wanted.items() <= r.items()]
        return found

    crop = row("faces", model="tiny", threads=1, batch=1)["to_first"]["median"]
    photo = {"what": "photo to answer", "size": [640, 480], "threads": 1}
    base, tiny = (row("photo", model=name, **photo)["median"] for name in ("base", "tiny"))
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"`tiny` is {crop:.1f} times as fast as `base` on a ready crop" in readme
    assert f"{crop:.0f} times as fast on face crops" in readme
    assert f"a whole photo takes {tiny:.1f} ms instead of {base:.1f}" in readme


@pytest.mark.parametrize("name", ["codes", "clusters", "scales", "evidence"])
def test_the_pictures_of_the_method_are_those_of_the_embedded_network(name: str) -> None:
    weights = hashlib.sha256((ROOT / "src/crossfer/models/base.safetensors").read_bytes()).hexdigest()
    with Image.open(ROOT / f"docs/images/method-{name}.png") as picture:
        drawn = picture.info.get("Source")
    assert drawn == f"weights with SHA-256 {weights}", (
        "run python docs/draw_method.py src/crossfer/models/base.safetensors"
    )


def test_what_the_peer_has_without_contempt_is_counted_from_its_result_file() -> None:
    peer = json.loads((ROOT / "results/peers/fer.json").read_text("utf-8"))
    ours = json.loads((ROOT / "src/crossfer/models/base.json").read_text("utf-8"))
    contempt = ours["per_class"]["contempt"]["support"]
    share = peer["scores"]["fer"]["accuracy"] * peer["n"] / (peer["n"] - contempt)
    for page in ("README.md", "docs/benchmarks.md"):
        text = " ".join((ROOT / page).read_text("utf-8").split())
        assert f"the {contempt} faces that show it count as wrong" in text
        assert f"{100 * share:.2f} % without them" in text


def test_the_source_distribution_holds_what_is_under_version_control() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout: this is a source distribution itself")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    kept = {line.partition("/")[0] for line in listed.splitlines()} - {".gitignore"}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert {f"/{name}" for name in kept} == set(
        settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    )


def section(page: str, start: str, end: str) -> str:
    return page.partition(f"## {start}\n")[2].partition(f"## {end}\n")[0]


def test_the_fields_of_predict_are_those_that_the_docs_list() -> None:
    page = (ROOT / "docs/predict.md").read_text("utf-8")
    prediction = Prediction(
        dict.fromkeys(FERPLUS.expressions, 1 / 8), np.zeros(8), np.zeros((8, 6, 6)), ("fear",), True
    )
    face = Face(Box(0, 0, 1, 1), ((0, 0),) * 5, 0.5, prediction)
    image = ImageResult(Path("a.png"), 1, 1, (face,)).to_dict()
    cells = re.findall(r"^\| (`.*?) \|", section(page, "JSON Lines", "CSV"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == [*image, *image["faces"][0]]
    columns = section(page, "CSV", "Table").partition("in order:")[2].partition("Models of other")[0]
    named = re.findall(r"`([a-z_]+)`", columns)
    expected = csv_header(FERPLUS.expressions, ("prediction_set", "answer")).strip().split(",")
    assert named == expected


def test_the_examples_of_the_python_interface_run(
    astronaut_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "docs/predict.md").read_text("utf-8"), re.DOTALL)
    shutil.copy(astronaut_path, tmp_path / "photo.png")
    (tmp_path / "holiday").mkdir()
    shutil.copy(astronaut_path, tmp_path / "holiday" / "a.png")
    (tmp_path / "holiday" / "b.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    printed = (
        r"happiness 100\.0% Box\(x=181\.5",
        r"holiday/b\.txt: expected a JPEG.*\n +path +face +expression .*\n0 +holiday/a\.png +1 +happiness",
        r"happiness Box\(x=180\.0",
    )
    for code, expected in zip(codes, printed, strict=True):
        exec(code, {})  # noqa: S102 - our own page
        assert re.match(expected, capsys.readouterr().out)


def test_the_endpoint_of_ones_own_answers(astronaut_path: Path) -> None:
    (code,) = re.findall(
        r"### An endpoint of your own\n.*?```python\n(.*?)```",
        (ROOT / "docs/serve.md").read_text("utf-8"),
        re.DOTALL,
    )
    page: dict = {}
    exec(code, page)  # noqa: S102 - our own page
    upload, refused = page["UploadFile"], page["HTTPException"]
    (face,) = page["faces"](upload(BytesIO(astronaut_path.read_bytes())))
    assert face["expression"] == "happiness"
    with pytest.raises(refused, match="open file: expected a JPEG") as wrong:
        page["faces"](upload(BytesIO(b"no image")))
    assert wrong.value.status_code == 422


def test_the_examples_for_users_of_other_libraries_run(
    astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "docs/switching.md").read_text("utf-8"), re.DOTALL)
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg")
    Image.fromarray(astronaut[50:180, 170:290]).save(tmp_path / "crop.jpg")
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-m", "crossfer", "predict", "photo.jpg", "-o", "faces.csv"], check=True)
    printed = (
        "happiness [{'box': [18",
        "happiness\n[1, 1]\nhappiness",
        "p_neutral",
        "['happiness', 'happiness'] [",
    )
    for code, expected in zip(codes, printed, strict=True):
        exec(code, {})  # noqa: S102 - our own page
        assert capsys.readouterr().out.startswith(expected)


def test_the_examples_of_video_run(
    astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "docs/video.md").read_text("utf-8"), re.DOTALL)
    write_clip(tmp_path / "talk.mp4", frames_with([head(astronaut, 90)], [[Place(150, 95)]] * 5))
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "crossfer", "video", "talk.mp4", "-o", "talk.csv", "--model", "tiny"]
    subprocess.run(command, check=True)
    opened, shown = cv2.VideoCapture, []
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: opened("talk.mp4"))
    monkeypatch.setattr(cv2, "imshow", lambda window, pixels: shown.append(pixels))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: -1)
    printed = ("video  track", "0.0 1 happiness", "0 [(1, 'happiness')]\n1 [(1, 'happiness')]")
    for code, expected in zip(codes, printed, strict=True):
        exec(code, {})  # noqa: S102 - our own page
        assert capsys.readouterr().out.startswith(expected)
    assert [pixels.shape for pixels in shown] == [(192, 320, 3)] * 5


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text("utf-8")):
        other = page.parent / target if target else page
        assert other.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(other), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

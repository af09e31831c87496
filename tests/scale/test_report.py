"""The page and the costs, from a summary that is known."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from crossfer.scale.faults import ScoreError
from crossfer.scale.listing import LINKED
from crossfer.scale.rows import Tally
from crossfer.scale.summary import Stint, commonest, summarise
from scale.runs import draw, run_here, summary

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def output(tiny_model, tmp_path):
    paths = draw(tmp_path / "images <b>", 40)
    paths[7].write_bytes(b"junk")
    run_here(
        tmp_path / "images <b>",
        "-o",
        tmp_path / "out",
        "--model",
        tiny_model,
        "--detector",
        "none",
        "--report",
    )
    return tmp_path / "out"


class Texts(HTMLParser):
    """The texts of a page; every tag but those that stand alone must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        assert not names.get("src", "").startswith("http")
        assert tag != "script"
        if tag not in {"meta", "img", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in {"rect"}:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_says_what_was_seen_and_is_whole(output):
    page = (output / "report.html").read_text()
    reader = Texts()
    reader.feed(page)
    assert reader.open == []
    text = " ".join(reader.texts)
    assert "images <b>" in text
    assert "<b>/" not in page
    assert "complete" in text
    assert "decoding" in text
    assert "expected a JPEG" in text
    assert "39 (100.0%)" in text, "faces an image"
    assert "images/s" in text


def test_a_report_of_a_run_so_far_and_of_none(output, tmp_path):
    (output / "summary.json").unlink()
    lines = (output / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (output / "manifest.jsonl").write_bytes(b"".join(lines[:2]))
    run_here("-o", output, "--report")
    assert "1 of 2 parts so far" in (output / "report.html").read_text()
    assert "expected the folder of a run" in run_here("-o", tmp_path / "none", "--report", code=1).stderr
    with pytest.raises(ScoreError):
        summarise(tmp_path)


def test_a_manifest_without_its_beginning_is_one_sentence_and_can_be_done_without(tmp_path, tiny_model):
    draw(tmp_path / "in", 2)
    asked = (tmp_path / "in", "-o", tmp_path / "out", "--model", tiny_model, "--detector", "none")
    run_here(*asked)
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    error = run_here("-o", tmp_path / "out", "--report", code=1).stderr
    assert "manifest.jsonl: expected a line about the start of the work before the first part" in error
    path.unlink()
    run_here(*asked, "--resume")
    run_here("-o", tmp_path / "out", "--report")


def test_times_and_memory_are_those_of_all_parts(output):
    path = output / "manifest.jsonl"
    start, first, second = map(json.loads, path.read_bytes().splitlines())
    first |= {"finished": start["began"] + 2, "peak": 900}
    second |= {"finished": start["began"] + 5, "peak": 800}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (start, first, second)))
    found = summarise(output)
    assert found["worker_peak_bytes"] == 900
    (stint,) = found["stints"]
    figures = [stint[name] for name in ("first_rows_after", "seconds", "images", "images_per_second")]
    assert figures == pytest.approx([2, 5, 40, 8], abs=2e-3)


def test_the_curve_spreads_images_over_the_time_that_they_took():
    stint = Stint("local", 2, 1000.0, [(1010.0, 10.0, 100), (1020.0, 10.0, 300), (1020.0, 20.0, 200)])
    curve = stint.curve()
    rates = [point["images_per_second"] for point in curve]
    assert rates[: len(rates) // 2] == pytest.approx([20.0] * (len(rates) // 2))
    assert rates[len(rates) // 2 :] == pytest.approx([40.0] * (len(rates) // 2))
    assert curve[-1]["seconds"] == 20.0


def test_tallies_add_up_and_survive_json():
    errors = Counter({"decoding": 1})
    first = Tally(images=3, faces=2, errors=errors, examples={"decoding": "a"}, uncertain=1)
    first.faces_an_image.update({0: 1, 2: 1})
    again = Tally.from_dict(json.loads(json.dumps(first.to_dict())))
    assert again == first
    again.add(Tally.from_dict(first.to_dict() | {"examples": {"decoding": "b", "missing": "c"}}))
    assert (again.images, again.faces, again.uncertain, again.errors["decoding"]) == (6, 4, 2, 2)
    assert again.examples == {"decoding": "a", "missing": "c"}
    assert again.faces_an_image == {0: 2, 2: 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "3"}, "tally.images: expected a whole number, found '3'"),
        ({"confidence": {"x": 1}}, "tally.confidence: expected a whole number as a key, found 'x'"),
        (
            {"errors": {"decoding": None}},
            r"tally.errors\['decoding'\]: expected a whole number, found nothing",
        ),
    ],
)
def test_a_tally_that_is_damaged_says_where(change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Tally.from_dict(Tally().to_dict() | change)


def test_costs_follow_from_the_summary(output):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "score_cost.py", output, "--images", "3600000", "--core-hour", "2"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = summary(output)
    core_seconds = sum(seen["seconds"].values()) / 40
    lines = {line[:30].strip(): line[30:].strip() for line in done.stdout.splitlines()}
    assert float(lines["core-hours"].replace(",", "")) == pytest.approx(1000 * core_seconds, abs=0.01)
    assert float(lines["money for cores"].replace(",", "")) == pytest.approx(2000 * core_seconds, abs=0.01)


def test_the_benchmark_draws_pictures_that_differ_and_hold_a_face(tmp_path):
    spec = importlib.util.spec_from_file_location("benchmark_score", BENCHMARKS / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = module.portrait()
    assert len({module.picture(source, number, "none") for number in range(5)}) == 5
    from crossfer import Recognizer

    assert len(Recognizer(threads=1).recognize(module.picture(source, 3, "centerface"))) == 1


def test_the_commonest_kinds_are_named_and_the_others_counted():
    passed_over = {f".a{number}": 1 for number in range(12)} | {".mp4": 2000}
    assert commonest({}) == ""
    assert commonest({".mp4": 2, "other": 3}) == "3 other, 2 .mp4"
    assert commonest({".mp4": 2, LINKED: 1}) == "1 linked folder, 2 .mp4"
    assert commonest({".mp4": 2, ".a": 1, LINKED: 3}, 1) == "3 linked folders, 2 .mp4, 1 of further kinds"
    assert commonest(passed_over, most=3) == "2,000 .mp4, 1 .a0, 1 .a1, 10 of further kinds"

"""Under load every answer is the offline answer, and memory does not grow: with the benchmark's client."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from crossfer import Recognizer
from support.live import process

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "serve_load.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("serve_load", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve_load"] = module
    spec.loader.exec_module(module)
    return module


def growth(bench, url: str, files: list[bytes], answers: list, *, before: int, requests: int) -> float:
    """MiB that the service grew by over the requests; every answer must be right."""
    for count in (before, requests):
        start = bench.resident(url)
        shots, _ = bench.run(url, files, count, 16)
        assert len(shots) == count
        assert sum(not bench.is_right(shot, answers) for shot in shots) == 0
    return bench.resident(url) - start


@pytest.mark.parametrize("batch_size", [32, 1])
def test_crops_are_answered_right_and_memory_stays(bench, tmp_path, tiny_model, batch_size):
    files = bench.images("crops")
    answers = bench.expected(files, Recognizer(tiny_model, "none", threads=1))
    arguments = ("--model", tiny_model, "--detector", "none", "--batch-size", batch_size)
    with process(tmp_path / "log", *arguments) as server:
        assert growth(bench, server.url, files, answers, before=200, requests=400) < 10
        shots, _ = bench.run(server.url, files, 24, 4)
    wrong = [not bench.is_right(shot, answers[::-1]) for shot in shots]
    assert sum(wrong) >= 20, "answers to other images must not pass for right ones"


@pytest.mark.long
def test_memory_is_flat_over_twenty_thousand_requests(bench, tmp_path):
    """With the embedded model: crops through one service, photos among them through another."""
    crops, photos = bench.images("crops"), bench.images("photos")
    for files, arguments, requests in (
        (crops, ("--detector", "none"), 18_000),
        (photos, (), 2_000),
    ):
        detector = "none" if arguments else "centerface"
        answers = bench.expected(files, Recognizer(detector=detector, threads=1))
        with process(tmp_path / detector, *arguments) as server:
            assert growth(bench, server.url, files, answers, before=requests // 10, requests=requests) < 20

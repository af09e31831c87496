"""Images that vanish during an evaluation: whatever pass misses them, all figures are those of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.source import open_dataset
from crossfer.data.subset import take
from crossfer.evaluate.command import EvaluationOptions, run_evaluation
from crossfer.evaluate.robustness import PASSES
from crossfer.evaluate.run_file import read_run, write_run
from crossfer.evaluate.subsets import Subset
from crossfer.runtime.recognizer import Recognizer
from data.layouts import write_class_folders

# Names of images, and the read with which they are gone.
PREDICTING, LEAKS, EVIDENCE, CORRUPTING = 1, 2, 3, PASSES
GONE = {
    "test/happiness/0.png": PREDICTING,
    "test/fear/1.png": LEAKS,
    "test/fear/2.png": EVIDENCE,
    "test/fear/4.png": CORRUPTING,
}
SUBSETS = (
    Subset("some", ("test/happiness/0", "test/happiness/1", "test/fear/4")),
    Subset("lost", ("test/fear/1", "test/fear/2")),
)


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Dataset, Dataset]:
    """Test and train; two images of the test split, of which one will be gone, lie in train too."""
    for part in ("test", "train"):
        write_class_folders(tmp_path / part, {"happiness": 3, "fear": 5} if part == "test" else {"fear": 3})
    for name in ("1", "3"):
        copy = (tmp_path / "test" / "fear" / f"{name}.png").read_bytes()
        (tmp_path / "train" / "fear" / f"{name}.png").write_bytes(copy)
    test, train = (
        open_dataset("folder", tmp_path, split=split, skip_bad=True) for split in ("test", "train")
    )
    return test, train


def vanishing(dataset: Dataset, gone: Mapping[str, int]) -> Dataset:
    reads: Counter[str] = Counter()

    def read(sample: Sample) -> np.ndarray:
        reads[sample.name] += 1
        if reads[sample.name] >= gone.get(sample.name, 99):
            raise DataError(f"{sample.path}: gone")
        return dataset.read(sample)

    return replace(dataset, read=read)


def test_all_figures_are_those_of_the_images_that_are_left(tiny_model: Path, parts, capsys, tmp_path: Path):
    (test, train), recognizer = parts, Recognizer(tiny_model, detector="none")
    options = EvaluationOptions([train], SUBSETS, corruptions=True, evidence=True, skip_bad=True)
    less = replace(options, others=[vanishing(train, {"train/fear/0.png": 1})])
    result, predictions = run_evaluation(recognizer, vanishing(test, GONE), less, command="x")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert told == [f"left out: {reason}" for reason in result.skipped]
    lost = [f"{tmp_path}/{name}: gone" for name in (*GONE, "train/fear/0.png")]
    assert sorted(result.skipped) == sorted(lost)

    rest = replace(
        test, samples=take(test.samples, [i for i, s in enumerate(test.samples) if s.name not in GONE])
    )
    kept = [i for i, sample in enumerate(train.samples) if sample.name != "train/fear/0.png"]
    whole = replace(options, others=[replace(train, samples=take(train.samples, kept))], subsets=SUBSETS[:1])
    wanted, answers = run_evaluation(recognizer, rest, whole, command="x")
    assert replace(result, skipped=(), evidence=None) == replace(wanted, evidence=None)
    assert (result.n, list(result.subsets), result.evidence.n) == (4, ["some"], 5)
    assert (predictions.paths, predictions.digests) == (answers.paths, answers.digests)
    write_run(result, predictions, tmp_path / "run.jsonl")
    assert read_run(tmp_path / "run.jsonl").result.skipped == result.skipped


@pytest.mark.parametrize("read", [PREDICTING, LEAKS, EVIDENCE, CORRUPTING])
def test_unless_they_are_skipped_each_stops_it(read: int, tiny_model: Path, parts):
    (test, train), recognizer = parts, Recognizer(tiny_model, detector="none")
    options = EvaluationOptions([train], corruptions=True, evidence=True)
    with pytest.raises(DataError, match=r"fear/0\.png: gone"):
        run_evaluation(recognizer, vanishing(test, {"test/fear/0.png": read}), options, command="x")


@pytest.mark.parametrize("read", [PREDICTING, LEAKS, EVIDENCE, CORRUPTING])
def test_where_none_is_left_that_is_told(read: int, tiny_model: Path, parts):
    (test, train), recognizer = parts, Recognizer(tiny_model, detector="none")
    options = EvaluationOptions([train], corruptions=True, evidence=True, skip_bad=True)
    with pytest.raises(DataError, match=r"folder: expected (images|at least one image) that can be read"):
        run_evaluation(
            recognizer, vanishing(test, {s.name: read for s in test.samples}), options, command="x"
        )

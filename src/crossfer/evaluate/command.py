"""What ``crossfer evaluate`` and ``crossfer calibrate`` do once model and data are at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossfer.data.duplicates import TABLES
from crossfer.data.sample import Dataset
from crossfer.evaluate.evaluation import score, score_part
from crossfer.evaluate.faithfulness import IMAGES, measure_evidence
from crossfer.evaluate.leaks import Leaks, find_leaks, score_leaks
from crossfer.evaluate.predictions import Predictions, predict
from crossfer.evaluate.result import EvaluationResult, Provenance, SubsetResult
from crossfer.evaluate.robustness import PASSES, measure_robustness
from crossfer.evaluate.subsets import Subset, count_found, find_subset, require_own_names
from crossfer.runtime.names import DetectorName
from crossfer.runtime.recognizer import Recognizer

TEXT_WIDTH = 100  # the same wherever the text goes: eight classes fit


@dataclass(frozen=True)
class Wishes:
    """What to measure beyond the figures that predictions alone give.

    Attributes:
        others: splits to look for copies of the images in; empty: do not look.
        subsets: parts of the images to score by themselves.
        corruptions: accuracy under corrupted images.
        evidence: test of the evidence maps.
        seed: of random choices in the last two.
    """

    others: Sequence[Dataset] = ()
    subsets: Sequence[Subset] = ()
    corruptions: bool = False
    evidence: bool = False
    seed: int = 0


@dataclass
class Progressive:
    """Bars on stderr for long steps, if it is a terminal, and messages above them."""

    console: Console = field(default_factory=lambda: Console(stderr=True))

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for one step; gives what is to be called with the number of images done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as progress:
            task = progress.add_task(name, total=total)
            yield lambda done: progress.advance(task, done)

    def say(self, message: str) -> None:
        """A line on stderr."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


def run_evaluation(
    recognizer: Recognizer,
    dataset: Dataset,
    wishes: Wishes,
    *,
    detector: DetectorName,
    skip_bad: bool = False,
    provenance: Provenance | None = None,
) -> tuple[EvaluationResult, Predictions]:
    """Predicts once, scores, and measures what else is wished for.

    Subsets are looked up before the long work starts. What the data sets left out and how many names of each
    subset were found is said on stderr.

    Args:
        recognizer: the model.
        dataset: labelled images.
        wishes: what else to measure.
        detector: as for ``predict``.
        skip_bad: leave out images that cannot be read instead of stopping.
        provenance: stands in the result.

    Raises:
        DataError: if two subsets have one name, one fits no image, or an image cannot be read.
    """
    shown = Progressive()
    _look_up_subsets(dataset, wishes.subsets, shown)
    predictions = predict_with_progress(recognizer, dataset, shown, detector=detector, skip_bad=skip_bad)
    result = replace(score(predictions, recognizer.meta.calibration), provenance=provenance)
    if wishes.subsets:
        result = replace(result, subsets=_score_subsets(predictions, wishes.subsets))
    if wishes.others:
        leaks = find_leaks_with_progress(dataset, wishes.others, shown, skip_bad=skip_bad)
        predictions = replace(predictions, skipped=(*predictions.skipped, *leaks.skipped))
        result = replace(result, leaks=score_leaks(predictions, leaks), skipped=predictions.skipped)
    if wishes.corruptions:
        with shown.bar("corrupting", PASSES * len(dataset)) as advance:
            found = measure_robustness(
                recognizer, dataset, detector=detector, skip_bad=skip_bad, seed=wishes.seed, progress=advance
            )
        result = replace(result, corruptions=found)
    if wishes.evidence:
        with shown.bar("testing evidence", min(IMAGES, len(dataset))) as advance:
            evidence = measure_evidence(
                recognizer, dataset, seed=wishes.seed, skip_bad=skip_bad, progress=advance
            )
        result = replace(result, evidence=evidence)
    return result, predictions


def predict_with_progress(
    recognizer: Recognizer,
    dataset: Dataset,
    shown: Progressive,
    *,
    detector: DetectorName = "none",
    skip_bad: bool = False,
) -> Predictions:
    """``predict`` with a bar; what was left out is named on stderr."""
    with shown.bar("recognising", len(dataset)) as advance:
        predictions = predict(recognizer, dataset, detector=detector, skip_bad=skip_bad, progress=advance)
    for reason in predictions.skipped:
        shown.say(f"left out: {reason}")
    return predictions


def find_leaks_with_progress(
    dataset: Dataset, others: Sequence[Dataset], shown: Progressive, *, skip_bad: bool = False
) -> Leaks:
    """``find_leaks`` with a bar; what was left out is named on stderr."""
    images = len(dataset) + sum(map(len, others))
    with shown.bar("looking for copies", images + TABLES) as advance:
        leaks = find_leaks(dataset, others, advance, skip_bad=skip_bad)
    for reason in leaks.skipped:
        shown.say(f"left out: {reason}")
    return leaks


def _look_up_subsets(dataset: Dataset, subsets: Sequence[Subset], shown: Progressive) -> None:
    """Says how many names of each subset are among the images."""
    require_own_names(subsets)
    paths = [sample.path for sample in dataset.samples]
    for subset in subsets:
        found = count_found(subset, paths)
        shown.say(f"subset {subset.name}: {found:,} of {len(subset.names):,} names found")


def _score_subsets(predictions: Predictions, subsets: Sequence[Subset]) -> dict[str, SubsetResult]:
    return {
        subset.name: SubsetResult(
            **vars(score_part(predictions.select(find_subset(subset, predictions.paths)))),
            names=len(subset.names),
        )
        for subset in subsets
    }


def as_text(page: RenderableType) -> str:
    """What rich would print, as plain text that is the same wherever it goes."""
    console = Console(file=StringIO(), width=TEXT_WIDTH, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(page)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def as_json(values: dict[str, Any]) -> str:
    """One object on one line."""
    return json.dumps(values) + "\n"

"""What ``crossfer evaluate`` and ``crossfer calibrate`` do once model and data are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from crossfer import __version__
from crossfer.console import counting, say, stderr_console
from crossfer.data.duplicates import TABLES
from crossfer.data.sample import Dataset
from crossfer.evaluate.evaluation import measure, measure_part
from crossfer.evaluate.faithfulness import IMAGES, measure_evidence
from crossfer.evaluate.leaks import Leaks, find_leaks, score_leaks
from crossfer.evaluate.predictions import Predictions, predict
from crossfer.evaluate.result import (
    CorruptionResult,
    EvaluationResult,
    EvidenceResult,
    Provenance,
    SubsetResult,
)
from crossfer.evaluate.robustness import PASSES, measure_robustness
from crossfer.evaluate.subsets import Subset, find_subset, require_own_names
from crossfer.evaluate.unreadable import Unreadable
from crossfer.provenance import code_commit
from crossfer.runtime.recognizer import Recognizer


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure beyond the figures that predictions alone give.

    Attributes:
        others: splits to look for copies of the images in; empty: do not look.
        subsets: parts of the images to score by themselves.
        corruptions: accuracy under corrupted images.
        evidence: test of the evidence maps.
        seed: of random choices in the last two.
        skip_bad: leave out images that can no longer be read, in all that is measured, instead of stopping.
        root: where the images lie; once that is gone or empty, it stops all the same.
    """

    others: Sequence[Dataset] = ()
    subsets: Sequence[Subset] = ()
    corruptions: bool = False
    evidence: bool = False
    seed: int = 0
    skip_bad: bool = False
    root: Path | None = None


def run_evaluation(
    recognizer: Recognizer,
    dataset: Dataset,
    options: EvaluationOptions,
    *,
    command: str,
) -> tuple[EvaluationResult, Predictions]:
    """Predicts once, scores, and measures what else is wished for.

    Subsets are looked up before the long work starts. What the data sets left out and how many names of each
    subset were found is said on stderr.

    Args:
        recognizer: the model.
        dataset: labelled images.
        options: what else to measure.
        command: the command line, for the result.

    Raises:
        DataError: if two subsets have one name, one fits no image, or an image cannot be read and is not
            skipped.
    """
    console, provenance = stderr_console(), Provenance(__version__, code_commit(), command)
    rows = _look_up_subsets(dataset, options.subsets, console)
    unreadable = Unreadable(options.skip_bad, options.root)
    predictions = predict_with_progress(recognizer, dataset, console, unreadable)
    told = len(unreadable.found)
    leaks, evidence, corruptions = _go_over_again(recognizer, dataset, options, unreadable, console)
    for reason in list(unreadable.found.values())[told:]:
        say(console, f"left out: {reason}")
    left = unreadable.readable(dataset.samples)
    predictions = replace(
        predictions.select(np.array([path not in unreadable.found for path in predictions.paths])),
        skipped=(*dataset.skipped, *unreadable.found.values(), *(leaks.skipped if leaks else ())),
    )
    result = replace(
        measure(predictions, recognizer.meta.calibration),
        provenance=provenance,
        subsets=_score_subsets(predictions, options.subsets, [found[left] for found in rows], console),
        leaks=score_leaks(predictions, leaks) if leaks else None,
        corruptions=corruptions,
        evidence=evidence,
    )
    return result, predictions


def _go_over_again(
    recognizer: Recognizer,
    dataset: Dataset,
    options: EvaluationOptions,
    unreadable: Unreadable,
    console: Console,
) -> tuple[Leaks | None, EvidenceResult | None, CorruptionResult | None]:
    """What needs the images once more; corruptions come last, for all of them count the images then left."""
    leaks = evidence = corruptions = None
    dataset = unreadable.without(dataset)
    if options.others:
        leaks = find_leaks_with_progress(dataset, options.others, console, unreadable)
        dataset = unreadable.without(dataset)
    if options.evidence:
        with counting(console, "testing evidence", min(IMAGES, len(dataset))) as advance:
            evidence = measure_evidence(
                recognizer, dataset, seed=options.seed, unreadable=unreadable, progress=advance
            )
        dataset = unreadable.without(dataset)
    if options.corruptions:
        with counting(console, "corrupting", PASSES * len(dataset)) as advance:
            corruptions = measure_robustness(
                recognizer, dataset, seed=options.seed, unreadable=unreadable, progress=advance
            )
    return leaks, evidence, corruptions


def predict_with_progress(
    recognizer: Recognizer,
    dataset: Dataset,
    console: Console,
    unreadable: Unreadable | None = None,
) -> Predictions:
    """``predict`` with a bar; what was left out is named on stderr."""
    with counting(console, "recognising", len(dataset)) as advance:
        predictions = predict(recognizer, dataset, unreadable=unreadable, progress=advance)
    for reason in predictions.skipped:
        say(console, f"left out: {reason}")
    return predictions


def find_leaks_with_progress(
    dataset: Dataset, others: Sequence[Dataset], console: Console, unreadable: Unreadable | None = None
) -> Leaks:
    """``find_leaks`` with a bar; what the other splits alone left out is named on stderr."""
    images = len(dataset) + sum(map(len, others))
    with counting(console, "looking for copies", images + TABLES) as advance:
        leaks = find_leaks(dataset, others, advance, unreadable)
    for reason in leaks.skipped:
        say(console, f"left out: {reason}")
    return leaks


def _look_up_subsets(dataset: Dataset, subsets: Sequence[Subset], console: Console) -> list[np.ndarray]:
    """Which images belong to each subset, (N,) bool; says how many of its names are among them."""
    require_own_names(subsets)
    rows = [find_subset(subset, dataset.samples) for subset in subsets]
    for subset, found in zip(subsets, rows, strict=True):
        say(console, f"subset {subset.name}: {found.sum():,} of {len(subset.names):,} names found")
    return rows


def _score_subsets(
    predictions: Predictions, subsets: Sequence[Subset], rows: Sequence[np.ndarray], console: Console
) -> dict[str, SubsetResult]:
    scored = {}
    for subset, found in zip(subsets, rows, strict=True):
        if found.any():
            part = measure_part(predictions.select(found))
            scored[subset.name] = SubsetResult(**vars(part), names=len(subset.names))
        else:
            say(console, f"subset {subset.name}: left out, none of its images can be read any more")
    return scored

"""``crossfer evaluate``: a model and labelled images in, numbers out."""

from __future__ import annotations

import shlex
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfer.cli.dataset import DatasetOptions, need_no_image
from crossfer.cli.errors import UsageError, need_apart, need_other
from crossfer.cli.options import (
    DataRoot,
    DetectorSide,
    MinFaceScore,
    Model,
    ModelClasses,
    ResultFile,
    ResultForm,
    SkipBad,
    SplitFile,
    Threads,
    VoteLabels,
    VoteProtocol,
    need_detector,
)
from crossfer.cli.output import give, result_form, terminal_width
from crossfer.data.names import DatasetName, Split
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE, DetectorName
from crossfer.system.writable import need_file

if TYPE_CHECKING:
    from crossfer.data.sample import Dataset
    from crossfer.labels import LabelSet


def evaluate(
    data: Annotated[
        DatasetName, typer.Option(help="Data set; folder: a folder per class; table: CSV or Parquet.")
    ],
    root: DataRoot,
    model: Model = "default",
    split: Annotated[Split, typer.Option(help="Part of the data.")] = "test",
    split_file: SplitFile = None,
    classes: ModelClasses = None,
    protocol: VoteProtocol = None,
    labels: VoteLabels = None,
    detector: Annotated[
        DetectorName | None,
        typer.Option(
            help="none: images are face crops. [default: centerface for folder and table, else none]",
            show_default=False,
        ),
    ] = None,
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
    leaks: Annotated[
        bool,
        typer.Option("--leaks", help="Also state accuracy without images that occur in train or valid too."),
    ] = False,
    subset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|NAME",
            help="Also score the images that a text file names, one a line; or a FERPlus challenge list in "
            "ROOT/challenge: occlusion, pose-30, pose-45. May be repeated.",
        ),
    ] = None,
    corruptions: Annotated[
        bool,
        typer.Option("--corruptions", help="Also measure seven kinds of bad images, each at five strengths."),
    ] = False,
    evidence_test: Annotated[
        bool,
        typer.Option(
            "--evidence-test", help="Also delete and insert cells by evidence, against random cells."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choices in the last two.")] = 0,
    format_: ResultForm = None,
    output: ResultFile = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the run, result and answer to each image, as JSON Lines: for compare, report.",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    threads: Threads = None,
) -> None:
    """Measure a model on labelled images; the numbers stand beside data, protocol and model."""
    asked = DatasetOptions(data, root, protocol, labels, split_file, classes, skip_bad)
    places = {"--output": output, "--predictions": predictions}
    for option, file in places.items():
        need_file(option, file)
    need_apart("--output", output, "--predictions", predictions)
    detector = detector or ("none" if asked.crops else "centerface")
    need_detector(detector, min_face_score, detector_side)
    if evidence_test and detector != "none":
        raise UsageError("--evidence-test: expected face crops, found a detector; add --detector none")
    from crossfer.console import as_json, as_text
    from crossfer.data.source import set_files
    from crossfer.evaluate.command import EvaluationOptions, run_evaluation
    from crossfer.evaluate.run_file import write_run
    from crossfer.evaluate.subsets import read_subset, subset_file
    from crossfer.evaluate.tables import evaluation_tables
    from crossfer.runtime.bundle import resolve_model
    from crossfer.runtime.recognizer import Recognizer

    read = [resolve_model(model), split_file, *(subset_file(given, root) for given in subset or ())]
    for option, file in places.items():
        need_other(option, file, chain(read, set_files(data, root)))
    recognizer = Recognizer(model, detector, min_face_score, threads, detector_side=detector_side)
    asked.warn_of_learnt(recognizer.meta)
    dataset = asked.open(split, recognizer.meta.labelset)
    others = _others(asked, split, recognizer.meta.labelset) if leaks else []
    for option, file in places.items():
        need_no_image(option, file, dataset, *others)
    options = EvaluationOptions(
        others=others,
        subsets=[read_subset(given, root) for given in subset or ()],
        corruptions=corruptions,
        evidence=evidence_test,
        seed=seed,
        skip_bad=skip_bad,
        root=root,
    )
    command = shlex.join(["crossfer", *sys.argv[1:]])
    result, answers = run_evaluation(recognizer, dataset, options, command=command)
    if predictions is not None:
        write_run(result, answers, predictions)
    text = (
        as_json(result.to_dict())
        if result_form(format_, output) == "json"
        else as_text(evaluation_tables(result, _width(output)))
    )
    give(text, output)


def _others(asked: DatasetOptions, split: Split, known: LabelSet) -> list[Dataset]:
    """The splits to look for copies in, of which there has to be one."""
    if others := asked.open_others(split, known):
        return others
    raise ValueError(
        f"--leaks: expected train or valid beside {split} of {asked.data}, found neither; leave it out"
    )


def _width(output: Path | None) -> int:
    """Of the text: that of a terminal that shows it and is narrower than text elsewhere."""
    from crossfer.console import TEXT_WIDTH

    return min(TEXT_WIDTH, terminal_width(output) or TEXT_WIDTH)

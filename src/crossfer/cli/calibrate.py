"""``crossfer calibrate``: a model and validation images in, the model with its own certainty out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.dataset import DatasetOptions
from crossfer.cli.errors import UsageError, need_suffix
from crossfer.cli.options import (
    DataRoot,
    ModelClasses,
    SkipBad,
    SplitFile,
    TextOrJson,
    VoteLabels,
    VoteProtocol,
)
from crossfer.cli.output import remark
from crossfer.data.names import DatasetName, Split
from crossfer.defaults import SELECTIVE_ACCURACY
from crossfer.system.writable import need_file


def calibrate(
    model: Annotated[str, typer.Argument(help="An embedded model by name, or a bundle's file.")],
    data: Annotated[
        DatasetName,
        typer.Option(help="Data set of face crops; folder: a folder per class; table: CSV or Parquet."),
    ],
    root: DataRoot,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .onnx file to write; may be the model itself.")
    ],
    split: Annotated[
        Split, typer.Option(help="Part of the data, never what the model learnt from or is tested on.")
    ] = "valid",
    split_file: SplitFile = None,
    classes: ModelClasses = None,
    protocol: VoteProtocol = None,
    labels: VoteLabels = None,
    selective_accuracy: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.999, help="Share of right answers that --abstain of predict has to give."
        ),
    ] = SELECTIVE_ACCURACY,
    balance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="0: classes are as frequent as on these images; 1: as if all were equally frequent, so that "
            "rare ones are found more often, and fewer answers are right in all. "
            "[default: that of the training]",
            show_default=False,
        ),
    ] = None,
    format_: TextOrJson = "text",
    skip_bad: SkipBad = False,
) -> None:
    """Fit temperature, prediction sets and abstention on validation images, and write them into the model.

    Images that also occur in train, exactly or nearly, are left out. The graph stays as it is.
    """
    asked = DatasetOptions(data, root, protocol, labels, split_file, classes, skip_bad)
    need_suffix("--output", output, ".onnx")
    need_file("--output", output)
    if split == "train":
        raise UsageError("--split train: expected images that the model has not learnt from; use valid")
    from crossfer.console import as_json, as_text, stderr_console
    from crossfer.evaluate.calibrate import calibrate as fit
    from crossfer.evaluate.command import find_leaks_with_progress, predict_with_progress
    from crossfer.evaluate.tables import calibration_tables
    from crossfer.runtime.bundle import read_bundle, write_bundle
    from crossfer.runtime.recognizer import Recognizer

    bundle = read_bundle(model, threads=1)  # once: another model may take its place while images are read
    console, recognizer = stderr_console(), Recognizer(bundle.content, detector="none")
    if split == "test" and (split_file is not None or asked.parted(recognizer.meta.labelset)):
        raise UsageError("--split test: what a model is fitted on no longer measures it; use valid")
    asked.warn_of_learnt(recognizer.meta)
    dataset = asked.open(split, recognizer.meta.labelset)
    others = asked.open_others("valid", recognizer.meta.labelset)
    predictions = predict_with_progress(recognizer, dataset, console)
    leaks = find_leaks_with_progress(dataset, others, console) if others else None
    found = fit(recognizer.meta, predictions, leaks, selective_accuracy=selective_accuracy, balance=balance)
    if found.unseen:
        remark(f"no image of {', '.join(found.unseen)}; what was fitted promises nothing for that")
    write_bundle(bundle.content, found.meta, output)
    typer.echo(
        as_json(found.to_dict()) if format_ == "json" else as_text(calibration_tables(found)), nl=False
    )

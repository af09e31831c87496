"""``crossfer evaluate``: a model and labelled images in, numbers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crossfer.data.names import DatasetName, Split


def evaluate(
    data: Annotated[
        DatasetName, typer.Option(help="Data set; folder: a folder per class; table: CSV or Parquet.")
    ],
    root: Annotated[Path, typer.Option(help="Folder or zip that holds the data set; for table the table.")],
    model: Annotated[str, typer.Option(help="An embedded model by name, or a bundle's file.")] = "default",
    split: Annotated[Split, typer.Option(help="Part of the data.")] = "test",
    split_file: Annotated[
        Path | None, typer.Option(help="Cuts valid out of train where a set has none: crossfer data split.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes of a folder or table, as in crossfer data check. [default: the model's]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        Literal["majority", "argmax"] | None,
        typer.Option(help="How FERPlus votes become labels. [default: majority]", show_default=False),
    ] = None,
    labels: Annotated[
        Literal["fer2013new", "label-csv"] | None,
        typer.Option(help="Version of the FERPlus labels. [default: fer2013new]", show_default=False),
    ] = None,
    detector: Annotated[
        Literal["centerface", "none"] | None,
        typer.Option(
            help="none: images are face crops. [default: centerface for folder and table, else none]",
            show_default=False,
        ),
    ] = None,
    min_face_score: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Leave out faces that the detector is less sure of.")
    ] = 0.5,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="json: one object on one line.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result here instead of stdout.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and count bad rows and images instead of stopping.")
    ] = False,
) -> None:
    """Measure a model on labelled images; the numbers stand beside data, protocol and model."""
    if data != "ferplus" and (protocol or labels):
        raise ValueError(f"--protocol and --labels belong to --data ferplus; leave them out with {data}")
    if data not in {"folder", "table"} and classes:
        raise ValueError(f"--classes belongs to --data folder and table; {data} has classes of its own")
    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"--output {output}: no folder {output.parent}; make it first")
    from crossfer.data.source import SOURCES, open_dataset
    from crossfer.evaluate.command import run_evaluation
    from crossfer.labels import label_set
    from crossfer.runtime.atomic import write_atomically
    from crossfer.runtime.recognizer import Recognizer

    detector = detector or ("none" if SOURCES[data].crops else "centerface")
    recognizer = Recognizer(model, detector=detector, min_face_score=min_face_score)
    dataset = open_dataset(
        data,
        root,
        split=split,
        protocol=protocol or "majority",
        labels=labels or "fer2013new",
        classes=label_set(classes) if classes else recognizer.meta.labelset,
        numbered=classes is not None,
        split_file=split_file,
        skip_bad=skip_bad,
    )
    text = run_evaluation(recognizer, dataset, detector=detector, form=format_)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())

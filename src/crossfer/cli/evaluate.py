"""``crossfer evaluate``: a model and labelled images in, numbers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def evaluate(
    data: Annotated[Literal["ferplus", "folder"], typer.Option(help="Data set; folder: a folder per class.")],
    root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    model: Annotated[str, typer.Option(help="An embedded model by name, or a bundle's file.")] = "default",
    split: Annotated[
        Literal["train", "valid", "test"], typer.Option(help="Part of the data; for folder only a name.")
    ] = "test",
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
            help="none: images are face crops. [default: none for ferplus, centerface for folder]",
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
    if data == "folder" and (protocol or labels):
        raise ValueError("--protocol and --labels belong to --data ferplus; leave them out with folder")
    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"--output {output}: no folder {output.parent}; make it first")
    from crossfer.data.ferplus import load_ferplus
    from crossfer.data.folder import load_folder
    from crossfer.evaluate.command import run_evaluation
    from crossfer.runtime.atomic import write_atomically
    from crossfer.runtime.recognizer import Recognizer

    detector = detector or ("none" if data == "ferplus" else "centerface")
    recognizer = Recognizer(model, detector=detector, min_face_score=min_face_score)
    if data == "ferplus":
        dataset = load_ferplus(
            root,
            split=split,
            protocol=protocol or "majority",
            labels=labels or "fer2013new",
            skip_bad=skip_bad,
        )
    else:
        dataset = load_folder(root, recognizer.meta.labelset, split=split, skip_bad=skip_bad)
    text = run_evaluation(recognizer, dataset, detector=detector, form=format_)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())

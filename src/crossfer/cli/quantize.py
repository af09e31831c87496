"""``crossfer quantize``: a model and the faces that it was made with in, the model in eight bits out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from crossfer.cli.dataset import DatasetOptions
from crossfer.cli.errors import need_extra, need_suffix
from crossfer.cli.options import (
    DataRoot,
    ModelClasses,
    SkipBad,
    SplitFile,
    TextOrJson,
    VoteLabels,
    VoteProtocol,
)
from crossfer.data.names import DatasetName
from crossfer.defaults import FEWEST_RANGE_FACES, MAX_LOSS, RANGE_FACES
from crossfer.system.writable import need_file

if TYPE_CHECKING:
    from crossfer.runtime.bundle import BundleMeta


def quantize(
    model: Annotated[str, typer.Argument(help="An embedded model by name, or a bundle's file.")],
    root: DataRoot,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    data: Annotated[
        DatasetName | None,
        typer.Option(
            help="Data set of face crops with the splits train and valid. [default: what the model learnt]",
            show_default=False,
        ),
    ] = None,
    split_file: SplitFile = None,
    classes: ModelClasses = None,
    protocol: VoteProtocol = None,
    labels: VoteLabels = None,
    faces: Annotated[
        int,
        typer.Option(
            min=FEWEST_RANGE_FACES, help="Training faces on which the range of each value is measured."
        ),
    ] = RANGE_FACES,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of those faces.")] = 0,
    method: Annotated[
        Literal["minmax", "percentile"],
        typer.Option(
            help="How ranges follow from what was seen; percentile leaves out the farthest in 100,000."
        ),
    ] = "minmax",
    weight_bits: Annotated[
        int,
        typer.Option(
            min=7,
            max=8,
            help="7: no sum overflows on any processor; 8: closer to the original, but wrong in silence on "
            "x86 processors without VNNI.",
        ),
    ] = 7,
    max_loss: Annotated[
        float,
        typer.Option(
            min=0, max=100, help="Write nothing if more points of validation accuracy are lost than this."
        ),
    ] = 100 * MAX_LOSS,
    format_: TextOrJson = "text",
    skip_bad: SkipBad = False,
) -> None:
    """Write a model in eight bits: a quarter of the size, faster, and measured against the original first.

    Ranges are measured on training faces, accuracy and temperature on validation faces.
    """
    need_suffix("--output", output, ".onnx")
    need_file("--output", output)
    need_extra("quantize")
    from crossfer.console import as_json, say, stderr_console
    from crossfer.quantize.quantize import QuantizeOptions
    from crossfer.quantize.quantize import quantize as write
    from crossfer.quantize.text import quantized_text
    from crossfer.runtime.bundle import read_bundle

    meta = read_bundle(model).meta
    asked = DatasetOptions(
        data or _learnt(meta, model), root, protocol, labels, split_file, classes, skip_bad
    )
    train, valid = asked.open("train", meta.labelset), asked.open("valid", meta.labelset)
    console = stderr_console()
    for reason in dict.fromkeys((*train.skipped, *valid.skipped)):
        say(console, f"left out: {reason}")
    options = QuantizeOptions(faces, seed, method, 8 if weight_bits == 8 else 7, max_loss / 100)
    done = write(model, train, valid, output, options, console=console)
    typer.echo(
        as_json(done.to_dict()) if format_ == "json" else quantized_text(done, asked.arguments()), nl=False
    )


def _learnt(meta: BundleMeta, model: str) -> DatasetName:
    """The data set that a model was trained on, by its own account."""
    found = meta.provenance.get("data")
    for name in get_args(DatasetName):
        if name == found:
            return name
    raise ValueError(f"{model}: names no data set that could be read again ({found!r}); add --data")

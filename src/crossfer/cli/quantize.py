"""``crossfer quantize``: a model and the faces that it was made with in, the model in eight bits out."""

from __future__ import annotations

import shlex
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
from crossfer.defaults import FEWEST_RANGE_FACES, MAX_LOSS, RANGE_FACES, SELECTIVE_ACCURACY
from crossfer.runtime.writable import need_file

if TYPE_CHECKING:
    from crossfer.calibration import Calibration
    from crossfer.quantize.quantize import Quantized
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
    typer.echo(as_json(done.to_dict()) if format_ == "json" else _text(done, asked), nl=False)


def _learnt(meta: BundleMeta, model: str) -> DatasetName:
    """The data set that a model was trained on, by its own account."""
    found = meta.provenance.get("data")
    for name in get_args(DatasetName):
        if name == found:
            return name
    raise ValueError(f"{model}: names no data set that could be read again ({found!r}); add --data")


def _text(done: Quantized, asked: DatasetOptions) -> str:
    """What was written, for people."""
    before, after = done.sizes
    (old, new), (low, high) = done.comparison.accuracies, done.comparison.interval
    some, of_all = done.convolutions
    lines = [
        f"{done.path}: {after / 1e6:.2f} MB, {100 * after / before:.0f} % of {before / 1e6:.2f} MB",
        f"{some} of {of_all} convolutions in eight bits; ranges of {done.faces:,} training faces and their "
        "mirror images",
        f"validation accuracy {100 * new:.2f} %, was {100 * old:.2f} %: "
        f"{100 * done.comparison.difference:+.2f} points "
        f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}, paired, n = {done.comparison.n:,})",
        f"both answer alike on {100 * done.agreement:.2f} %, logits differ by at most "
        f"{done.largest_change:.2g}, evidence sums to them to {done.evidence_error:.0e}",
        f"temperature {done.meta.temperature}, fitted anew",
    ]
    if done.lost_calibration is not None:
        bias = " and the bias for each class" if done.lost_calibration.bias else ""
        lines.append(
            f"prediction sets and abstention{bias} were fitted to the original and are left out; "
            f"fit them anew: {_calibrate_again(done, asked, done.lost_calibration)}"
        )
    return "\n".join(lines) + "\n"


def _calibrate_again(done: Quantized, asked: DatasetOptions, lost: Calibration) -> str:
    """The command that fits to the new bundle what the old one was fitted with."""
    from crossfer.evaluate.calibrate import balance_in_training

    path, defaults = (
        done.path,
        {"selective_accuracy": SELECTIVE_ACCURACY, "balance": balance_in_training(done.meta)},
    )
    wished = {
        f"--{name.replace('_', '-')}": f"{value:g}"
        for name, default in defaults.items()
        if isinstance(value := lost.fitted_on.get(name, default), int | float) and value != default
    }
    words = [word for pair in wished.items() for word in pair]
    return shlex.join(["crossfer", "calibrate", str(path), *asked.arguments(), *words, "-o", str(path)])

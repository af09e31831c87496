"""``crossfer export``: a run in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import UsageError, need_extra, need_suffix

LONGEST_NAME = 60  # characters


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run, its best.safetensors, or an embedded model's name.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: .onnx for a model to use, .safetensors for weights to start from.",
        ),
    ],
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that holds the data set, where it moved.")
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Average each face with its mirror image: steadier, twice the time."),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(help="What results call the model. [default: the recipe's name]", show_default=False),
    ] = None,
) -> None:
    """Write a run's model as one ONNX file that explains itself, checked against torch; or its weights.

    Weights (--output FILE.safetensors) are half as large as the run's own, and need no data: name them as
    model.init of a recipe.
    """
    need_suffix("--output", output, ".onnx", ".safetensors")
    need_extra("train")
    if output.suffix.lower() == ".onnx":
        from crossfer.train.export import export as write

        done = write(run, output, root=root, mirror=mirror, name=_printable(name))
        typer.echo(
            f"{done.path}: {done.size / 1e6:.1f} MB, differs from torch by at most "
            f"{done.max_difference:.1e}, validation accuracy {100 * done.valid_accuracy:.2f} %, "
            f"temperature {done.temperature}"
        )
        return
    from crossfer.train.weights import export_weights

    if mirror or name is not None:
        option = "--mirror" if mirror else "--name"
        raise UsageError(f"{option}: belongs to an .onnx file; weights are the same with and without")
    made = export_weights(run, output)
    typer.echo(
        f"{made.path}: {made.size / 1e6:.1f} MB, half precision changes a logit by at most "
        f"{made.change:.1e}, SHA-256 {made.sha256}"
    )


def _printable(name: str | None) -> str | None:
    """The name, unless it would make a mess of a table."""
    if name is not None and not (name.isprintable() and 0 < len(name.strip()) <= LONGEST_NAME):
        raise UsageError(f"--name {name!r}: expected 1 to {LONGEST_NAME} printable characters")
    return name

"""``crossfer export``: a run in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import need_extra


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its best.safetensors.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that holds the data set, where it moved.")
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Average each face with its mirror image: steadier, twice the time."),
    ] = False,
) -> None:
    """Write a run's model as one ONNX file that explains itself, checked against torch."""
    need_extra("train")
    from crossfer.train.export import export as write

    done = write(run, output, root=root, mirror=mirror)
    typer.echo(
        f"{done.path}: {done.size / 1e6:.1f} MB, differs from torch by at most {done.max_difference:.1e}, "
        f"validation accuracy {100 * done.valid_accuracy:.2f} %, temperature {done.temperature}"
    )

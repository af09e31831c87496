"""``crossfer distill``: trained networks and a student's recipe in, the student's run out."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from crossfer.cli.options import (
    Override,
    RecipeFile,
    Resume,
    RunFolder,
    SkipAndReport,
    TensorBoardFiles,
    TrainRoot,
    overrides,
)
from crossfer.cli.train import run


def distill(
    recipe: RecipeFile,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="MODEL",
            help="An embedded model's name, the .safetensors file of a whole network, or the folder of a "
            "run; may be given again. [default: those of the recipe]",
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="The teachers' part of a target. [default: the recipe's, or 0.5]"),
    ] = None,
    output: RunFolder = None,
    root: TrainRoot = None,
    set_: Override = None,
    resume: Resume = False,
    skip_bad: SkipAndReport = False,
    tensorboard: TensorBoardFiles = False,
) -> None:
    """Train a student of any size with teachers, whose answers are part of its targets.

    The teachers see the very images that the student sees, changed at random alike, or with
    `--set distill.teaching=fixed` once each face as it is; the mean of their answers is blended with the
    labels. What a recipe says under `[distill]` holds where no option is given.
    """
    changes = overrides(set_, skip_bad=skip_bad)
    if teachers:
        changes.append(f"distill.teachers={json.dumps(teachers, ensure_ascii=False)}")
    if share is not None:
        changes.append(f"distill.share={share}")
    run(recipe, changes, output, root, resume=resume, tensorboard=tensorboard, taught=True)

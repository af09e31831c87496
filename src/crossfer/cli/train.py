"""``crossfer train``: a recipe in, a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfer.cli.errors import need_extra


def train(
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, such as recipes/ferplus-48.toml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run. [default: runs/NAME]")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Folder that holds the data set.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value, as in optim.epochs=5."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last whole epoch of the run.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and report bad rows and images instead of stopping.")
    ] = False,
) -> None:
    """Train a recipe; progress goes to stderr, the run to a folder."""
    need_extra("train")
    from rich.console import Console

    from crossfer.train.config import load_recipe
    from crossfer.train.run import run_recipe

    console = Console(stderr=True)
    plan = load_recipe(recipe, [*(set_ or ()), *(["data.skip_bad=true"] if skip_bad else ())])
    folder = output or Path("runs") / plan.name
    try:
        result = run_recipe(plan, folder, root=root, resume=resume, console=console)
    except KeyboardInterrupt:
        console.print(
            f"stopped; what was learnt up to the last whole epoch is in {folder}: go on with --resume"
        )
        raise
    typer.echo(
        f"{folder / 'best.safetensors'}: epoch {result.best_epoch}, "
        f"validation accuracy {100 * result.best_accuracy:.2f} %"
    )

"""``crossfer train``: a recipe in, a run out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfer.cli.errors import need_extra
from crossfer.cli.options import Override, TrainRoot

if TYPE_CHECKING:
    from rich.console import Console

    from crossfer.train.observer import Tracker


def train(
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, such as recipes/ferplus-48.toml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run. [default: runs/NAME]")
    ] = None,
    root: TrainRoot = None,
    set_: Override = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last whole epoch of the run.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and report bad rows and images instead of stopping.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard into the run's folder.")
    ] = False,
) -> None:
    """Train a recipe; progress goes to stderr, the run to a folder.

    Several processes share the work where `torchrun` starts them:
    `torchrun --nproc_per_node=2 -m crossfer.cli train RECIPE`.
    """
    need_extra("train")
    from rich.console import Console

    from crossfer.train.config import load_recipe
    from crossfer.train.faults import RankError
    from crossfer.train.ranks import this_rank
    from crossfer.train.run import run_recipe

    silent = this_rank().number > 0
    console = Console(stderr=True, quiet=silent)
    try:
        plan = load_recipe(recipe, [*(set_ or ()), *(["data.skip_bad=true"] if skip_bad else ())])
        folder = output or Path("runs") / plan.name
        with _told_how_to_go_on(folder, console), _trackers(folder, tensorboard=tensorboard) as trackers:
            result = run_recipe(plan, folder, root=root, resume=resume, console=console, trackers=trackers)
    except (ValueError, OSError) as error:
        if silent and not isinstance(error, RankError):
            raise typer.Exit(1) from None  # rank 0 says the same
        raise
    if not silent:
        typer.echo(
            f"{folder / 'best.safetensors'}: epoch {result.best_epoch}, "
            f"validation accuracy {100 * result.best_accuracy:.2f} %"
        )


@contextmanager
def _trackers(folder: Path, *, tensorboard: bool) -> Iterator[tuple[Tracker, ...]]:
    if not tensorboard:
        yield ()
        return
    need_extra("tensorboard")
    from crossfer.train.tensorboard import TensorBoard

    with closing(TensorBoard(folder)) as board:
        yield (board,)


@contextmanager
def _told_how_to_go_on(folder: Path, console: Console) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            f"stopped; what was learnt up to the last whole epoch is in {folder}: go on with --resume"
        )
        raise

"""``crossfer train``: a recipe in, a run out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from crossfer.cli.errors import need_extra
from crossfer.cli.options import (
    Override,
    RecipeFile,
    Resume,
    RunFolder,
    SkipAndReport,
    TensorBoardFiles,
    TrainRoot,
)

if TYPE_CHECKING:
    from rich.console import Console

    from crossfer.train.observer import Tracker


def train(
    recipe: RecipeFile,
    output: RunFolder = None,
    root: TrainRoot = None,
    set_: Override = None,
    resume: Resume = False,
    skip_bad: SkipAndReport = False,
    tensorboard: TensorBoardFiles = False,
) -> None:
    """Train a recipe; progress goes to stderr, the run to a folder.

    Several processes share the work where `torchrun` starts them:
    `torchrun --nproc_per_node=2 -m crossfer.cli train RECIPE`.
    """
    overrides = [*(set_ or ()), *(["data.skip_bad=true"] if skip_bad else ())]
    run(recipe, overrides, output, root, resume=resume, tensorboard=tensorboard)


def run(
    recipe: Path,
    overrides: Sequence[str],
    output: Path | None,
    root: Path | None,
    *,
    resume: bool,
    tensorboard: bool,
    taught: bool = False,
) -> None:
    """Train a recipe, which has to name teachers if it is ``taught``, and say what came of it.

    The other ranks of ``torchrun`` are silent.
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
        plan = load_recipe(recipe, overrides)
        if taught and not plan.distill.teachers:
            raise ValueError(f"{recipe}: names no teachers under [distill]; name them with --teacher MODEL")
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

"""``crossfer train``: a recipe in, a run out."""

from __future__ import annotations

import time
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
    overrides,
)
from crossfer.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from crossfer.train.observer import Observer
    from crossfer.train.ranks import Rank

SCORES = {"labels": "validation accuracy", "views": "other views found among validation faces"}
PATIENCE = 5.0  # seconds; torchrun looks ten times a second whether a rank has failed, and ends the others


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
    `torchrun --nproc_per_node=2 -m crossfer train RECIPE`.
    """
    changes = overrides(set_, skip_bad=skip_bad)
    run(recipe, changes, output, root, resume=resume, tensorboard=tensorboard)


def run(
    recipe: Path,
    changes: Sequence[str],
    output: Path | None,
    root: Path | None,
    *,
    resume: bool,
    tensorboard: bool,
    taught: bool = False,
) -> None:
    """Train a recipe, which has to name teachers if it is ``taught``, and say what came of it.

    Of ``torchrun``'s ranks the first alone speaks, another only of what befell it alone.
    """
    need_extra("train")
    from crossfer.console import stderr_console
    from crossfer.train.ranks import this_rank
    from crossfer.train.recipe_file import load_recipe
    from crossfer.train.run import run_recipe
    from crossfer.train.run_folder import BEST

    rank = this_rank()
    console = stderr_console()
    console.quiet = rank.number > 0
    with _one_voice(rank):
        plan = load_recipe(recipe, changes)
        if taught and not plan.distill.teachers:
            raise ValueError(f"{recipe}: names no teachers under [distill]; name them with --teacher MODEL")
        folder = output or Path("runs") / plan.name
        with _told_how_to_go_on(folder, console), _observers(folder, tensorboard=tensorboard) as observers:
            result = run_recipe(plan, folder, root=root, resume=resume, console=console, observers=observers)
    if rank.number == 0:
        best = folder / BEST
        if not best.exists():
            raise ValueError(
                f"{best}: expected the chosen weights of epoch {result.best_epoch}, found nothing; put them "
                "back, or train anew in another folder"
            )
        mean = result.history[result.best_epoch - 1].valid_mean_class_accuracy
        chosen = f", mean over the classes {100 * (mean or 0):.2f} %" if plan.best_by != "accuracy" else ""
        typer.echo(
            f"{best}: epoch {result.best_epoch}, "
            f"{SCORES[plan.objective]} {100 * result.best_accuracy:.2f} %{chosen}"
        )


@contextmanager
def _observers(folder: Path, *, tensorboard: bool) -> Iterator[tuple[Observer, ...]]:
    if not tensorboard:
        yield ()
        return
    need_extra("tensorboard")
    from crossfer.train.tensorboard import TensorBoard

    with closing(TensorBoard(folder)) as board:
        yield (board,)


@contextmanager
def _one_voice(rank: Rank) -> Iterator[None]:
    """Leave to rank 0 what befell all ranks."""
    from crossfer.train.faults import RankError, TrainingError

    try:
        yield
    except (ValueError, OSError) as error:
        if rank.number == 0 or isinstance(error, RankError):
            raise
        if isinstance(error, TrainingError):
            raise typer.Exit(1) from None  # rank 0 says the same
        time.sleep(PATIENCE)  # if rank 0 says it, this process is ended meanwhile
        raise RankError(f"rank {rank.number}: {one_line(error)}") from error


@contextmanager
def _told_how_to_go_on(folder: Path, console: Console) -> Iterator[None]:
    from crossfer.console import say
    from crossfer.train.run_folder import LAST

    try:
        yield
    except KeyboardInterrupt:
        if (folder / LAST).exists():
            said = f"what was learnt up to the last whole epoch is in {folder}: go on with --resume"
        else:
            said = "no epoch was whole yet, so nothing is kept"
        say(console, f"stopped; {said}")
        raise

"""Where a run stands, on the terminal."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID

from crossfer.console import bars, say
from crossfer.train.observer import Observer
from crossfer.train.record import EpochRecord, Progress

# The first term of the loss, and what is counted on the validation faces.
WORDS = {"labels": ("class", "valid"), "views": ("views", "found")}


class Display(Observer):
    """A bar an epoch: loss terms, last validation accuracy, speed and time left; a line when it is done."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console = console
        columns = (SpinnerColumn(), "{task.description}", BarColumn(bar_width=20), MofNCompleteColumn())
        self.bar = bars(console, *columns, transient=False)
        self.task: TaskID = self.bar.add_task(f"0/{epochs} epochs")
        self.last: Progress | None = None

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def after_answers(self, done: int, faces: int) -> None:
        """Show how far fixed teachers are with their answers."""
        self.bar.update(self.task, completed=done, total=faces, description="asking the teachers")
        if done == faces and not self.console.is_terminal:
            say(self.console, f"asked the teachers about {faces:,} faces")

    def after_step(self, progress: Progress) -> None:
        """Show where the run stands."""
        self.last, text = progress, describe(progress)
        self.bar.update(self.task, completed=progress.step, total=progress.steps, description=text)

    def after_epoch(self, record: EpochRecord) -> None:
        """Show the epoch with its own accuracy; not once more that with which a run goes on."""
        if self.last is None:
            return
        text = describe(replace(self.last, valid_accuracy=record.valid_accuracy))
        self.bar.update(self.task, description=text)
        if not self.console.is_terminal:
            say(self.console, text)


def describe(progress: Progress) -> str:
    """One line on where a run stands."""
    term, score = WORDS[progress.objective]
    accuracy = "" if progress.valid_accuracy is None else f"  {score} {100 * progress.valid_accuracy:.2f} %"
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    return (
        f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.3f} "
        f"({term} {progress.classification:.3f}, maps {progress.feature_map:.3f}, "
        f"batch {progress.batch:.3f}){accuracy}  "
        f"{progress.images_per_second:.0f} images/s, {100 * progress.data_wait:.0f} % waiting for data  "
        f"{minutes}:{seconds:02d} left"
    )

"""``crossfer data``: whether a data set is what it should be, and splits cut from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossfer.cli.crop import crop
from crossfer.cli.dataset import need_no_image, need_own_classes
from crossfer.cli.errors import need_other
from crossfer.cli.help import ReadableCommand
from crossfer.cli.options import DataRoot
from crossfer.data.names import LABEL_VERSION, PROTOCOL, DatasetName, LabelVersion, Protocol
from crossfer.printable import counted
from crossfer.system.writable import need_file

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from crossfer.data.check import Progress
    from crossfer.data.sample import ListingOptions

data = typer.Typer(
    help="Check a data set, cut splits from it, cut faces out of photos.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

data.command(cls=ReadableCommand)(crop)

Name = Annotated[
    DatasetName, typer.Argument(help="Data set; folder: a folder per class; table: CSV or Parquet.")
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Classes of a folder or table: a label set such as rafdb, or names with commas between, in the "
        "order of the labels' numbers; found: those whose folders are there. [default: the eight of FERPlus]",
        show_default=False,
    ),
]
Version = Annotated[LabelVersion, typer.Option(help="Version of the FERPlus labels.")]


@data.command(cls=ReadableCommand)
def check(
    name: Name,
    root: DataRoot,
    protocol: Annotated[Protocol, typer.Option(help="How FERPlus votes become labels.")] = PROTOCOL,
    labels: Version = LABEL_VERSION,
    classes: Classes = None,
    near: Annotated[
        bool, typer.Option("--near/--exact", help="Look for nearly identical and mirrored images, too.")
    ] = True,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="json: one object, with all duplicates.")
    ] = "text",
) -> None:
    """Hold a copy of a data set against what was published, and look for leaks between its splits.

    Counts each split and class, reads every image, and finds images that occur twice. Exit status 1 if the
    copy is not fit for use: images missing or unreadable, bad rows or files, folders that contradict the
    label list, or other counts than the published. Identical images with different labels are a warning,
    and so are leaks: they belong to the benchmark, and evaluation tells what they change.
    """
    from rich.console import Console

    from crossfer.console import as_json, bars, stderr_console
    from crossfer.data.check import check_dataset
    from crossfer.data.check_tables import check_tables

    with bars(stderr_console()) as shown:
        report = check_dataset(
            name, root, _request(name, root, protocol, labels, classes), near=near, progress=_progress(shown)
        )
    if format_ == "json":
        typer.echo(as_json(report.to_dict()), nl=False)
    else:
        page = Console(highlight=False, soft_wrap=True)
        page.print(check_tables(report))
    if report.fatal:
        raise typer.Exit(1)


@data.command(cls=ReadableCommand)
def split(
    name: Name,
    root: DataRoot,
    output: Annotated[Path, typer.Option("--output", "-o", help="The split file to write.")],
    valid: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of each class for validation.")] = 0.1,
    test: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of each class for test, where a set has none.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed cuts another split.")] = 0,
    duplicates: Annotated[
        Literal["near", "exact", "ignore"],
        typer.Option(help="Which to keep in one part; near: nearly identical and mirrored ones, too."),
    ] = "near",
    classes: Classes = None,
) -> None:
    """Cut a validation split (and a test split) out of train, as a file to commit and use again.

    Each class is parted alike; people and duplicates stay on one side; the same seed gives the same split on
    every machine. Use it with --split-file, or as data.split_file in a recipe.
    """
    from rich.console import Console

    from crossfer.console import bars, stderr_console
    from crossfer.data.command import cut_split_file
    from crossfer.data.sample import Faults
    from crossfer.data.source import SOURCES, set_files
    from crossfer.system.atomic import write_atomically

    need_file("--output", output)
    need_other("--output", output, set_files(name, root))
    request = _request(name, root, PROTOCOL, LABEL_VERSION, classes)
    if output.is_file():
        need_no_image("--output", output, SOURCES[name].list(root, request, Faults(skip=True)))
    fractions = {part: share for part, share in (("valid", valid), ("test", test)) if share}
    with bars(stderr_console()) as shown:
        file, summary = cut_split_file(
            name,
            root,
            request,
            fractions,
            classes=classes,
            seed=seed,
            duplicates=duplicates,
            progress=_progress(shown),
        )
    write_atomically(output, file.to_text().encode())
    Console(highlight=False, soft_wrap=True).print(summary)
    typer.echo(f"{output}: {counted(len(file.split_of), 'image')}")


def _request(
    name: DatasetName, root: Path, protocol: Protocol, labels: LabelVersion, classes: str | None
) -> ListingOptions:
    from crossfer.data.sample import ListingOptions
    from crossfer.data.source import SOURCES, classes_of

    need_own_classes(name, classes)
    chosen = SOURCES[name].labels if classes is None else classes_of(name, root, classes)
    return ListingOptions("train", protocol, labels, chosen, numbered=classes is not None)


def _progress(bars: Bars) -> Progress:
    """What shows a check's or a cut's progress on bars: one for reading, one for comparing."""
    from crossfer.data.check import Progress

    reading = bars.add_task("reading", total=None)
    comparing = bars.add_task("comparing", total=100, visible=False)
    return Progress(
        total=lambda images: bars.update(reading, total=images),
        read=lambda images: bars.advance(reading, images),
        compared=lambda share: bars.update(comparing, completed=round(100 * share), visible=True),
    )

"""The command line: one command per verb. Heavy imports stay inside the commands, for a quick ``--help``."""

from __future__ import annotations

import io
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from crossfer import __version__

if TYPE_CHECKING:
    from crossfer.runtime.recognizer import Recognizer
    from crossfer.runtime.results import ImageResult

Task = TypeVar("Task")

app = typer.Typer(
    name="crossfer",
    help="Facial expression recognition that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossfer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Facial expression recognition that can be trusted."""


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Images, and folders to search to the bottom.")],
    *,
    format_: Annotated[
        Literal["text", "json", "csv"],
        typer.Option("--format", help="A table; JSON Lines, one object an image; or CSV, one row a face."),
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write results here, not to stdout.")
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(file_okay=False, metavar="DIR", help="Draw each image with its faces into this folder."),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="An embedded model, or a bundle (.onnx).")
    ] = "default",
    detector: Annotated[
        Literal["centerface", "none"],
        typer.Option(help="What finds the faces; none: every image is a face crop already."),
    ] = "centerface",
    min_face_score: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Leave out faces that the detector is less sure of.")
    ] = 0.5,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Give only the K likeliest expressions of a face.")
    ] = None,
) -> None:
    """Recognise the expressions of the faces in images.

    Results go to stdout, everything else to stderr. Exit status 1 if an image could not be used; the others
    are still answered. An expression is what a face shows, not what a person feels.
    """
    from crossfer.runtime.atomic import write_atomically
    from crossfer.runtime.files import annotated_paths, find_images
    from crossfer.runtime.recognizer import Recognizer
    from crossfer.runtime.results import result_format

    if output is not None and not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder {output.parent} does not exist", param_hint="--output")
    recognizer = Recognizer(model, detector, min_face_score)
    images = list(find_images(paths))
    drawings: Sequence[Path | None] = [None] * len(images)
    if annotate is not None:
        annotate.mkdir(parents=True, exist_ok=True)
        drawings = annotated_paths(images, annotate)
    columns = shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
    form = result_format(format_, recognizer.meta.labels, top_k=top_k, columns=columns)
    kept: list[str] = []
    write = _to_stdout if output is None else kept.append
    write(form.header)
    errors = 0
    for image, drawing in _with_progress(list(zip(images, drawings, strict=True))):
        result = _recognize_file(recognizer, image, drawing)
        write(form.entry(result))
        if result.error is not None:
            errors += 1
            typer.echo(f"crossfer: {result.error}", err=True)
    if output is not None:
        write_atomically(output, "".join(kept).encode("utf-8", "backslashreplace"))
    if errors:
        raise typer.Exit(1)


def _to_stdout(text: str) -> None:
    # Looked up anew each time: a progress bar puts a stand-in there that prints above it.
    sys.stdout.write(text)


def _recognize_file(recognizer: Recognizer, path: Path, drawing: Path | None) -> ImageResult:
    """The faces in one image file, drawn to ``drawing`` if given; what goes wrong is part of the result."""
    from crossfer.runtime.annotate import annotate, save_png
    from crossfer.runtime.image import load_image
    from crossfer.runtime.results import ImageResult

    try:
        image = load_image(path)
        faces = recognizer.recognize(image)
        if drawing is not None:
            save_png(annotate(image, faces, recognizer.meta.input.crop), drawing)
    except (ValueError, OSError, MemoryError) as error:
        return ImageResult(path, error=_one_line(error, path))
    return ImageResult(path, image.shape[1], image.shape[0], tuple(faces))


def _with_progress(tasks: Sequence[Task]) -> Iterator[Task]:
    """The tasks one by one, with a progress bar on stderr if there are several and it is a terminal."""
    if len(tasks) < 2 or not sys.stderr.isatty():
        yield from tasks
        return
    from rich.console import Console
    from rich.progress import Progress

    # Results that go to the same terminal are printed above the bar; to a file or pipe they go as they are.
    shared = sys.stdout.isatty()
    with Progress(console=Console(stderr=True), redirect_stdout=shared, transient=True) as progress:
        yield from progress.track(tasks, description="recognising")


@app.command()
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
    _need_train_extra()
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


@app.command()
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
    _need_train_extra()
    from crossfer.train.export import export as write

    done = write(run, output, root=root, mirror=mirror)
    typer.echo(
        f"{done.path}: {done.size / 1e6:.1f} MB, differs from torch by at most {done.max_difference:.1e}, "
        f"validation accuracy {100 * done.valid_accuracy:.2f} %, temperature {done.temperature}"
    )


@app.command()
def evaluate(
    data: Annotated[Literal["ferplus", "folder"], typer.Option(help="Data set; folder: a folder per class.")],
    root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    model: Annotated[str, typer.Option(help="An embedded model by name, or a bundle's file.")] = "default",
    split: Annotated[
        Literal["train", "valid", "test"], typer.Option(help="Part of the data; for folder only a name.")
    ] = "test",
    protocol: Annotated[
        Literal["majority", "argmax"] | None,
        typer.Option(help="How FERPlus votes become labels. [default: majority]", show_default=False),
    ] = None,
    labels: Annotated[
        Literal["fer2013new", "label-csv"] | None,
        typer.Option(help="Version of the FERPlus labels. [default: fer2013new]", show_default=False),
    ] = None,
    detector: Annotated[
        Literal["centerface", "none"] | None,
        typer.Option(
            help="none: images are face crops. [default: none for ferplus, centerface for folder]",
            show_default=False,
        ),
    ] = None,
    min_face_score: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Leave out faces that the detector is less sure of.")
    ] = 0.5,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="json: one object on one line.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result here instead of stdout.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and count bad rows and images instead of stopping.")
    ] = False,
) -> None:
    """Measure a model on labelled images; the numbers stand beside data, protocol and model."""
    if data == "folder" and (protocol or labels):
        raise ValueError("--protocol and --labels belong to --data ferplus; leave them out with folder")
    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"--output {output}: no folder {output.parent}; make it first")
    from crossfer.data.ferplus import load_ferplus
    from crossfer.data.folder import load_folder
    from crossfer.evaluate.command import run_evaluation
    from crossfer.runtime.atomic import write_atomically
    from crossfer.runtime.recognizer import Recognizer

    detector = detector or ("none" if data == "ferplus" else "centerface")
    recognizer = Recognizer(model, detector=detector, min_face_score=min_face_score)
    if data == "ferplus":
        dataset = load_ferplus(
            root,
            split=split,
            protocol=protocol or "majority",
            labels=labels or "fer2013new",
            skip_bad=skip_bad,
        )
    else:
        dataset = load_folder(root, recognizer.meta.labelset, split=split, skip_bad=skip_bad)
    text = run_evaluation(recognizer, dataset, detector=detector, form=format_)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())


def _need_train_extra() -> None:
    from importlib.util import find_spec

    missing = [
        name
        for name in ("torch", "lightning_fabric", "kornia", "pydantic", "safetensors", "onnx")
        if not find_spec(name)
    ]
    if missing:
        raise typer.BadParameter(f"this command needs {', '.join(missing)}: pip install 'crossfer[train]'")


def _one_line(error: BaseException, place: object = None) -> str:
    """An error's message on one line, led by the place it concerns if it does not name it itself."""
    message = (
        f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    )
    message = " ".join(message.split()) or type(error).__name__
    return message if place is None or str(place) in message else f"{place}: {message}"


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit status 1, Ctrl-C a quiet 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not fit the terminal's encoding
    warnings.filterwarnings("ignore", module="PIL")  # what matters of them comes back as an error
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:  # every error class of crossfer is one of these
        sys.exit(f"crossfer: {_one_line(error)}")


if __name__ == "__main__":
    main()

"""What a command gives: on standard output, or whole in a file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import typer

from crossfer.cli.errors import need_apart, need_extra, need_suffix
from crossfer.figure import FORMATS
from crossfer.printable import printable
from crossfer.system.writable import need_file


def to_stdout(text: str) -> None:
    """Write a text as it is, above a progress bar if there is one; a reader gets it at once."""
    try:
        sys.stdout.write(text)  # looked up anew each time: a bar puts a stand-in there
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def terminal_width(output: Path | None = None) -> int | None:
    """Columns of the terminal that shows a text; None where it goes to a file or standard output is none."""
    return shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None


def to_file(text: str, output: Path) -> None:
    """Write a text whole or not at all; what is no UTF-8, as in names of files, is escaped."""
    from crossfer.system.atomic import write_atomically

    write_atomically(output, text.encode("utf-8", "backslashreplace"))


def result_form(given: Literal["text", "json"] | None, output: Path | None) -> Literal["text", "json"]:
    """The form that is asked for, or else that which the name of the file says."""
    named = output is not None and output.suffix.lower() == ".json"
    return given or ("json" if named else "text")


def give(text: str, output: Path | None) -> None:
    """Write a text to a file if one is named, else to standard output."""
    if output is None:
        to_stdout(text)
    else:
        to_file(text, output)


def need_plot(plot: Path | None, output: Path | None) -> None:
    """Refuse a picture of a study that could not be drawn, or that is the file of its table, too."""
    if plot is None:
        return
    need_suffix("--plot", plot, *(f".{form}" for form in FORMATS))
    need_file("--plot", plot)
    need_apart("--output", output, "--plot", plot)
    need_extra("report", "matplotlib", what="--plot")


def remark(message: str) -> None:
    """Say on stderr, in a line that the program's name leads, what is no result; escapes are escaped."""
    typer.echo(f"crossfer: {printable(message)}", err=True)


def tell_written(*written: tuple[Path | None, str]) -> None:
    """Say on stderr in one line what was written where, of what was asked for."""
    if parts := [f"{path}: {what}" for path, what in written if path is not None]:
        remark("; ".join(parts))

"""The command line: one module per verb. Heavy imports stay inside the commands, for a quick ``--help``."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from typing import Annotated, Any, TextIO

import typer

from crossfer import __version__
from crossfer.cli.ablate import ablate
from crossfer.cli.bench import bench
from crossfer.cli.calibrate import calibrate
from crossfer.cli.compare import compare
from crossfer.cli.data import data
from crossfer.cli.distill import distill
from crossfer.cli.errors import UsageError, show_traceback
from crossfer.cli.evaluate import evaluate
from crossfer.cli.export import export
from crossfer.cli.help import ReadableCommand, ReadableGroup
from crossfer.cli.intensity import intensity
from crossfer.cli.output import remark
from crossfer.cli.predict import predict
from crossfer.cli.quantize import quantize
from crossfer.cli.report import report
from crossfer.cli.score import score
from crossfer.cli.serve import serve
from crossfer.cli.train import train
from crossfer.cli.video import video
from crossfer.printable import one_line

_PRINTING = ("predict", "video", "evaluate", "compare", "bench", "ablate", "intensity")  # without --output


class _Commands(ReadableGroup):
    """All commands; words are refused that would be taken for a file's name, and are meant otherwise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = False  # whether only these follow, after --
        for before, word in zip(["crossfer", *args], args, strict=False):
            names = names or before == "--"
            if not word or (re.fullmatch("--[a-z-]+=", word) and not names):
                place = f"in {word}" if word else f"after {before}"
                found = "nothing, as of a variable that is not set"
                raise UsageError(f"expected a name or value {place}, found {found}; set it")
            if names:
                continue
            if word in ("--output=-", "-o-") or (word == "-" and before in ("-o", "--output")):
                raise UsageError(_no_standard_output(args[0]))
        return super().parse_args(ctx, args)


def _no_standard_output(command: str) -> str:
    if command in _PRINTING:
        what = "a name, found - for standard output, where results go without it; leave it out"
    else:
        what = (
            "the name of a file or folder, found - for standard output, which takes no results here; give one"
        )
    return f"--output -: expected {what} (a file of that name is ./-)"


app = typer.Typer(
    name="crossfer",
    cls=_Commands,
    help="Facial expression recognition that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
STDOUT, STDERR = 1, 2  # their file descriptors
PANELS = {
    "Recognise": (predict, video, serve, score),
    "Train": (train, distill, export, quantize, calibrate),
    "Measure": (evaluate, compare, report, bench),
    "Study the method": (ablate, intensity),
}
for panel, commands in PANELS.items():  # in the order of the help
    for command in commands:
        app.command(cls=ReadableCommand, rich_help_panel=panel)(command)
app.add_typer(data, name="data", cls=ReadableGroup, rich_help_panel="Data")


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


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit status 1 or 2, Ctrl-C a quiet 130."""
    if sys.stdout is None:  # closed by whoever started us: what is written there fails, as it would have
        sys.stdout = _opened(os.O_RDONLY, STDOUT)
    if sys.stderr is None:
        sys.stderr = _opened(os.O_WRONLY, STDERR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            _set_encoding(stream)
    warnings.filterwarnings("ignore", module="PIL")  # what matters of them comes back as an error
    stdout = sys.stdout  # Typer puts a stand-in there that is silent about a reader who went away
    status: str | int | None = None
    try:
        app()
    except SystemExit as end:  # how Typer ends
        status = end.code
    except KeyboardInterrupt:
        status = 130
    except UsageError as error:
        show_traceback(error)
        remark(one_line(error))
        status = 2
    except (ValueError, OSError, MemoryError) as error:  # every error class of crossfer is one of these
        show_traceback(error)
        status = f"crossfer: {one_line(error)}"
    sys.exit(_written_out(stdout, status))


def _set_encoding(stream: io.TextIOWrapper) -> None:
    """UTF-8 for files and pipes; the terminal has its own, and who asks for another one gets that."""
    plain = not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
    # A file's name may not fit it.
    stream.reconfigure(encoding="utf-8" if plain else None, errors="backslashreplace")


def _opened(flags: int, number: int) -> TextIO:
    """A stream that leads nowhere under the number of one that was closed, which no file may get."""
    os.dup2(os.open(os.devnull, flags), number)
    return open(number, "w", encoding="utf-8")


def _written_out(stdout: TextIO, status: str | int | None) -> str | int | None:
    """The exit status once all results are out, or what kept them in; later errors would be noise."""
    try:
        stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # there what is left fails no more
        told = isinstance(status, str) and status != f"crossfer: {error.strerror}"  # a print names no file
        if isinstance(error, BrokenPipeError) or told:
            return status or 1
        return f"crossfer: standard output: {error.strerror}"
    return status

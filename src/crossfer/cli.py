"""The command line: one command per verb. Heavy imports stay inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crossfer import __version__

app = typer.Typer(
    name="crossfer",
    help="Facial expression recognition that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossfer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Facial expression recognition that can be trusted."""


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit status 1, Ctrl-C a quiet 130."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:  # every error class of crossfer is one of these
        sys.exit(f"crossfer: {error}")


if __name__ == "__main__":
    main()

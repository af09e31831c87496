"""What every command does about errors: one line, and a traceback only where one is asked for.

Exit status 2 where the command line alone is wrong, and 1 where what it names cannot be used.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import typer

from crossfer.printable import printable

# What each extra of the distribution brings, by import name.
EXTRAS = {
    "train": ("torch", "lightning_fabric", "kornia", "pydantic", "safetensors", "onnx"),
    "quantize": ("onnx",),
    "report": ("matplotlib", "sklearn"),
    "serve": ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client"),
    "data": ("pyarrow",),
    "video": ("av", "trackers", "matplotlib"),
    "scale": ("pyarrow", "fsspec", "ray"),
    "tensorboard": ("tensorboardX",),
}


class UsageError(ValueError):
    """A command line that is wrong whatever lies on the disk; the message says how to put it right."""


@contextmanager
def usage() -> Iterator[None]:
    """Where a ``ValueError`` speaks of the command line alone."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def need_extra(extra: str, *names: str, what: str = "this command") -> None:
    """Stop with the command that installs an extra if a part of it is missing.

    Args:
        extra: key of ``EXTRAS``.
        names: the parts that are needed, by import name; none for all.
        what: needs them.
    """
    missing = [name for name in names or EXTRAS[extra] if not find_spec(name)]
    if missing:
        raise ValueError(f'{what} needs {", ".join(missing)}: pip install ".[{extra}]" in a checkout')


def need_suffix(option: str, file: Path, *suffixes: str) -> None:
    """Refuse a file to write whose name does not say one of the forms that there are."""
    if file.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {file}: expected a name that ends in {', '.join(suffixes)}")


def need_apart(option: str, file: Path | None, other: str, beside: Path | None) -> None:
    """Refuse one file for two results, of which the second would replace the first."""
    if file is not None and beside is not None and os.path.realpath(file) == os.path.realpath(beside):
        raise UsageError(
            f"{option} and {other}: expected two different files, found {file} for both; rename one"
        )


def need_other(option: str, file: Path | None, read: Iterable[str | Path | None]) -> None:
    """Refuse a file to write in whose place lies one that is read, before any work is done."""
    if file is None or not os.path.isfile(file):
        return
    place = os.path.realpath(file)
    if any(os.path.realpath(path) == place for path in read if path is not None):
        raise ValueError(f"{option} {file}: is read here and would be lost; name another file to write")


def show_traceback(error: BaseException) -> None:
    """Write on stderr where an error comes from if ``CROSSFER_TRACEBACK`` is set; escapes are escaped."""
    if os.environ.get("CROSSFER_TRACEBACK"):
        lines = "".join(traceback.format_exception(error)).splitlines()
        typer.echo("\n".join(map(printable, lines)), err=True)

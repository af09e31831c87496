"""What every command does about errors: one line, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterable
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


def need_extra(extra: str) -> None:
    """Stop with the command that installs an extra if a part of it is missing."""
    missing = [name for name in EXTRAS[extra] if not find_spec(name)]
    if missing:
        raise typer.BadParameter(
            f"this command needs {', '.join(missing)}: pip install '.[{extra}]' in a checkout"
        )


def need_folder(option: str, file: Path | None) -> None:
    """Refuse a file to write whose folder is not there or takes none, before any work is done."""
    if file is None:
        return
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{option} {file}: no folder {file.parent}; make it first")
    if os.path.isdir(file):  # Path.is_dir raises where a name is too long
        raise ValueError(f"{option} {file}: expected a file to write, found a folder")
    if os.path.isfile(file) or not os.path.exists(file):  # no device or pipe
        from crossfer.runtime.writable import need_writable

        need_writable(option, file, Path(os.path.realpath(file)).parent)


def need_other(option: str, file: Path | None, read: Iterable[str | Path | None]) -> None:
    """Refuse a file to write in whose place lies one that is read, before any work is done."""
    if file is None or not os.path.isfile(file):
        return
    place = os.path.realpath(file)
    if any(os.path.realpath(path) == place for path in read if path is not None):
        raise ValueError(f"{option} {file}: is read here and would be lost; name another file to write")


def one_line(error: BaseException, place: object = None) -> str:
    """An error's message on one line, led by the place it concerns if it does not name it itself."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    message = " ".join(message.split()) or type(error).__name__
    return printable(message if place is None or str(place) in message else f"{place}: {message}")

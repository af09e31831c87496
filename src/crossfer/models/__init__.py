"""The embedded models, each a bundle with its model card and the evaluation behind the card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DEFAULT = "base"  # what the name "default" stands for


def embedded(name: str, suffix: str) -> Path | None:
    """A file of an embedded model, such as its bundle (``".onnx"``); None if no model of that name has one.

    >>> embedded("default", ".onnx") == embedded("base", ".onnx")
    True
    """
    path = _folder() / f"{DEFAULT if name == 'default' else name}{suffix}"
    return path if path.is_file() else None


def names(suffix: str) -> str:
    """The names of the embedded models that have such a file, for messages.

    >>> names(".onnx")
    'base, tiny; default is base'
    """
    found = sorted(path.stem for path in _folder().glob(f"*{suffix}"))
    return f"{', '.join(found) or 'none here'}; default is {DEFAULT}"


def _folder() -> Path:
    return Path(str(files(__name__)))

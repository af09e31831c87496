"""Recipes as files: one TOML file a training run, which may extend another and be overridden key by key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from crossfer.train.config import OF_THE_MACHINE, Recipe, RecipeError

# What a recipe is to have where pydantic speaks of Python's own types.
TOML_KINDS = {
    "tuple_type": "a list in square brackets",
    "too_long": "at most {max_length} values",
    "path_type": "a path in quotes",
    "model_type": "a table, whose keys are set one by one, such as optim.lr = 0.1",
}


def placeless(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values to pass on: files by their names alone, and not where the data lies."""
    document = recipe.model_dump(mode="json", exclude={"data": {"root"}})
    for table, key in (("data", "split_file"), ("model", "init")):
        if document[table][key] is not None:
            document[table][key] = Path(document[table][key]).name
    document["distill"]["teachers"] = [Path(teacher).name for teacher in document["distill"]["teachers"]]
    return document


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    A recipe may begin with ``extends = "other.toml"`` (beside it): it then holds only what differs.

    Args:
        path: the TOML file.
        overrides: ``"table.key=value"``, the value in TOML (a bare word counts as a string).

    Raises:
        RecipeError: if the file cannot be read or a key or value is not allowed.
    """
    document = _read(path)
    for override in overrides:
        _apply(document, override)
    return parse_recipe(document, str(path))


def _read(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The document of a recipe, put over that of the one it extends."""
    if os.path.realpath(path) in map(os.path.realpath, below):
        raise RecipeError(f"{path}: extends itself, by way of {', '.join(map(str, below))}")
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not a readable TOML recipe: {error}") from None
    base = document.pop("extends", None)
    if base is None:
        return document
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends = {base!r}: expected the name of a recipe beside this one")
    return _overlay(_read(path.parent / base, (*below, path)), document)


def _overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def parse_recipe(document: dict[str, Any], source: str) -> Recipe:
    """Check a recipe given as nested tables; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError("; ".join(_describe(e, source) for e in error.errors())) from None


def filled(document: dict[str, Any]) -> dict[str, Any]:
    """A recipe that was written down, as plain values; keys that came later have their defaults.

    One that is no recipe any more stays as it is.
    """
    try:
        return Recipe.model_validate(document).model_dump(mode="json")
    except ValidationError:
        return document


def first_difference(found: dict[str, Any], recipe: Recipe) -> tuple[str, Any, Any] | None:
    """The first key, in alphabetical order, in which a recipe that was written down is not this one.

    Where the data lies and how it is read may differ; keys that came later have their defaults.

    Returns:
        The key, such as ``"optim.lr"``, what was written down and what the recipe says, each None where the
        key is absent; None alone if it is the same recipe.
    """
    theirs, ours = _flat(filled(found)), _flat(recipe.model_dump(mode="json"))
    free = {f"data.{key}" for key in OF_THE_MACHINE}
    for key in sorted((theirs.keys() | ours.keys()) - free):
        if theirs.get(key) != ours.get(key):
            return key, theirs.get(key), ours.get(key)
    return None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"--set {override!r}: expected table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *tables, last = key.strip().split(".")
    for table in tables:
        document = document.setdefault(table, {})
        if not isinstance(document, dict):
            raise RecipeError(f"--set {override!r}: {table!r} is not a table of the recipe")
    document[last] = value


def _describe(error: Any, source: str) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{source}: unknown key {key!r}; allowed there: {', '.join(_siblings(error['loc']))}"
    if error["type"] == "missing" and isinstance(error["loc"][-1], int):
        *whole, place = map(str, error["loc"])
        given = error["input"]
        return f"{source}: {'.'.join(whole)} = {given!r}: a value is missing, at position {int(place) + 1}"
    if error["type"] == "missing":
        return f"{source}: key {key!r} is missing"
    if error["type"] == "value_error":  # one of ours, about a whole table: it names key and value itself
        return f"{source}: {key}: {error['msg'].removeprefix('Value error, ')}"
    if (kind := TOML_KINDS.get(error["type"])) is not None:
        return f"{source}: {key} = {error['input']!r}: expected {kind.format_map(error.get('ctx', {}))}"
    hint = ""
    if isinstance(error["input"], str) and error["type"] in ("float_type", "int_type", "bool_type"):
        hint = "; as in TOML, numbers are written like 0.1 and truth values like true, without quotes"
    return f"{source}: {key} = {error['input']!r}: {error['msg']}{hint}"


def _siblings(loc: tuple[Any, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in loc[:-1]:
        annotation = section.model_fields[part].annotation
        section = next(
            t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel)
        )
    return sorted(section.model_fields)

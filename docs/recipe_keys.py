"""Prints the reference of all keys of a recipe from the types that check them: docs/recipes.md.

python docs/recipe_keys.py >docs/recipes.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from crossfer.train.config import Recipe

HEAD = """# Keys of a recipe

Every table and key of a recipe, what it may be, and what it is if left out. Written by `make docs` from the
types that check recipes: a key that is not here, or a value of another kind, is an error before any work
starts. A recipe may also begin with `extends = "other.toml"` and hold only what differs. What recipes are
for: [Train, export, evaluate](training.md#a-recipe).
"""
RANGES = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


def page() -> str:
    """The reference in Markdown: the keys of the recipe itself, then a section for each table."""
    schema = Recipe.model_json_schema()
    tables = {
        key: schema["$defs"][field["$ref"].rpartition("/")[2]]
        for key, field in schema["properties"].items()
        if "$ref" in field
    }
    own = {key: field for key, field in schema["properties"].items() if key not in tables}
    parts = [HEAD, *section({"properties": own, "required": schema["required"]})]
    for name, table in tables.items():
        about = " ".join(table["description"].split())
        parts += [f"\n## `[{name}]`\n\n{about}\n", *section(table)]
    return "\n".join(parts) + "\n"


def section(table: dict[str, Any]) -> Iterator[str]:
    """A Markdown table of the keys of one table of the recipe, line by line."""
    yield "| key | values | default | |"
    yield "| --- | --- | --- | --- |"
    for key, field in table["properties"].items():
        required = key in table.get("required", ())
        default = "required" if required else shown(field["default"])
        cells = [f"`{key}`", values(field), default, field.get("description", "")]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def values(field: dict[str, Any]) -> str:
    """What a key may be: its choices, or its kind and range."""
    if "anyOf" in field:
        return ", or ".join(values(kind) for kind in field["anyOf"] if kind.get("type") != "null")
    if "enum" in field:
        return ", ".join(shown(choice) for choice in field["enum"])
    if "prefixItems" in field:
        return f"{len(field['prefixItems'])} of: {values(field['prefixItems'][0])}"
    if field.get("type") == "array":
        return f"list of: {values(field['items'])}"
    limits = [f"{sign} {field[key]}" for key, sign in RANGES.items() if key in field]
    return " ".join([KINDS[field["type"]], ", ".join(limits)]).strip()


def shown(value: Any) -> str:
    """A value as TOML writes it; none where a key that is left out has none."""
    return "" if value is None else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(page())

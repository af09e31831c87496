"""Tables of what was measured, from the values that go into JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from crossfer.console import as_text, text_table

WIDTH = 200  # room for models with long names, so that a row is a line
BUSY = 0.05  # share of the processors from which on others disturb
WHAT = ""  # heading of the column that says what a row measures
Values = Mapping[str, Any]
TITLES = {
    "faces": "From a 48 px face to logits, pre-processing included: faces a second",
    "photo": "From a photo in memory to its answer: milliseconds",
    "start": "A fresh process from start to end, its files cached: milliseconds",
    "memory": "Most memory of a fresh process in RAM: MB",
}


def bench_text(values: Values) -> str:
    """What ``BenchResult.to_dict`` gives, for people: plain text that is the same wherever it goes."""
    return as_text(*_page(values), width=WIDTH, fold=False)


def _page(values: Values) -> Iterator[RenderableType]:
    yield from _machine(values["machine"])
    for model in values["models"]:
        yield _model(model)
    yield _photo(values["photo"])
    if values["others"] is not None:
        yield _others(values["others"])
    yield 'medians; a column that ends in "= 1" says how many times as fast, in the median of the rounds'
    first = values["models"][0]["label"]
    for name, section in values["measured"].items():
        rounds = section["rounds"]
        yield ""
        yield f"{TITLES[name]} ({rounds} round{'s' if rounds > 1 else ''})"
        yield _table(section, first)
    if "memory" not in values["measured"]:
        yield "Memory is not measured: this system does not tell how much a process held."


def _machine(machine: Values) -> Iterator[str]:
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    if machine["cores_there"] != machine["cores"]:
        cores = f"{machine['cores']} of {machine['cores_there']} cores"
    if machine["quota"] is not None:
        cores += f", limited to {machine['quota']:g}"
    memory = f"{machine['memory'] / 1e9:.0f} GB" if machine["memory"] else ""
    yield ", ".join(part for part in (machine["cpu"], cores, memory, machine["system"]) if part)
    if machine["instructions"]:
        yield f"instructions: {' '.join(machine['instructions'])}"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    commit = machine["commit"]
    known = "" if commit == "unknown" else f" ({commit[:10]}{'+changes' if '+' in commit else ''})"
    yield f"crossfer {machine['crossfer']}{known}, {packages}, Python {machine['python']}"


def _others(share: float) -> str:
    busy = "; on an idle machine it is faster" if share > BUSY else ""
    return f"others took {100 * share:.0f} % of the processors meanwhile{busy}"


def _model(model: Values) -> str:
    return (
        f"model {model['label']}: {model['name']}, {model['file_bytes'] / 1e6:.1f} MB, {model['size']} px "
        f"{model['color']}, SHA-256 {model['sha256'][:12]}"
    )


def _photo(photo: Values) -> str:
    sizes = ", ".join(
        f"{_by(size['size'])} with {size['faces']} face{'s' if size['faces'] > 1 else ''}"
        for size in photo["sizes"]
    )
    return f"photo: {photo['name']}, {_by(photo['original'])}, scaled to {sizes}"


def _table(section: Values, first: str) -> Table:
    """A row a case; columns that no case of the section has anything in are left out."""
    rows = sorted(section["rows"], key=_place)
    columns = _columns(section["unit"], first)
    shown = {heading: cell for heading, cell in columns.items() if any(map(cell, rows))}
    if len({row["what"] for row in rows}) == 1:  # the title says it
        del shown[WHAT]
    table = text_table(None, *shown, left={WHAT, "model"})
    table.show_edge = False
    for row in rows:
        table.add_row(*(cell(row) for cell in shown.values()))
    return table


def _place(row: Values) -> tuple[Any, ...]:
    return (row.get("size", []), row.get("threads", 0), row.get("batch", 0))


def _columns(unit: str, first: str) -> dict[str, Callable[[Values], str]]:
    number = {"faces/s": ",.1f", "ms": ",.1f", "MB": ",.0f"}[unit]
    return {
        WHAT: lambda row: row["what"],
        "model": lambda row: row.get("model", ""),
        "photo": lambda row: _by(row["size"]) if "size" in row else "",
        "threads": lambda row: str(row.get("threads", "")),
        "batch": lambda row: str(row.get("batch", "")),
        unit: lambda row: format(row["median"], number),
        "quartiles": lambda row: " to ".join(format(value, number) for value in row["quartiles"]),
        "batch 1 = 1": lambda row: _ratio(row, "to_batch_1"),
        "1 thread = 1": lambda row: _ratio(row, "to_one_thread"),
        f"{first} = 1 (95 %)": lambda row: _ratio(row, "to_first", interval=True),
    }


def _ratio(row: Values, name: str, *, interval: bool = False) -> str:
    """How many times as fast, if that was measured."""
    if name not in row:
        return ""
    ratio = row[name]
    doubt = f" ({ratio['low']:.2f} to {ratio['high']:.2f})" if interval else ""
    return f"{ratio['median']:.2f}{doubt}"


def _by(size: list[int]) -> str:
    return " x ".join(map(str, size))

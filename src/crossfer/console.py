"""What commands show: bars and lines on stderr while they work, tables and JSON when they are done."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from crossfer.printable import printable

TEXT_WIDTH = 100  # the same wherever the text goes: eight classes fit
ANSWER_WIDTH = 110  # a face or person a line
# In JSON: a backslash, a character of two halves, and in a group a half alone, which few readers take.
_HALVES = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|(\\ud[89a-f]..)")


def stderr_console() -> Console:
    """Where messages and bars go: standard error, a terminal only if it is one, whatever FORCE_COLOR says."""
    return Console(stderr=True, force_terminal=sys.stderr.isatty())


def bars(
    console: Console, *columns: str | ProgressColumn, transient: bool = True, auto_refresh: bool = True
) -> Progress:
    """Bars on a terminal, none elsewhere; results that go to the same terminal are printed above them.

    Args:
        console: where they are drawn.
        columns: what a bar consists of, texts as formats of its ``task``; by default its description, how
            many are done of how many, and how long it takes yet.
        transient: they are gone once all is done.
        auto_refresh: they draw themselves ten times a second.
    """
    return Progress(
        *(columns or ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())),
        console=console,
        transient=transient,
        auto_refresh=auto_refresh,
        redirect_stdout=sys.stdout.isatty(),  # to a file or pipe results go as they are
        disable=not console.is_terminal,
    )


@contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for one step; gives what is to be called with how many more are done."""
    with bars(console) as shown:
        task = shown.add_task(what, total=total)
        yield lambda more: shown.advance(task, more)


def say(console: Console, message: str) -> None:
    """A line however long and whatever is in it, escapes escaped; above the bars if there are any."""
    console.print(printable(message), markup=False, emoji=False, highlight=False, soft_wrap=True)


def text_table(title: str | None, first: str, *others: str, left: Collection[str] = ()) -> Table:
    """A table without rows yet: the first column stands left, the others right, as numbers do.

    Args:
        title: stands above it; None for none.
        first: heading of the first column.
        others: headings of the others, whose cells keep to one line.
        left: which of those stand left, and may take several lines, too.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in others:
        if heading in left:
            table.add_column(heading)
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    return table


def answer_table() -> Table:
    """A table without lines, rows or columns yet, for what was recognised."""
    return Table(box=None, padding=(0, 1), header_style="dim")


def as_text(
    *parts: RenderableType, width: int = TEXT_WIDTH, fold: bool = True, columns: int | None = None
) -> str:
    """What rich would print: plain text that is the same wherever it goes, or in colour for one terminal.

    Args:
        parts: tables and lines, one below the other.
        width: of plain text, in characters.
        fold: break lines that are longer; tables always keep to the width.
        columns: width of the terminal that shows the text in colour; None for plain text.
    """
    console = Console(
        file=StringIO(),
        force_terminal=columns is not None,  # else FORCE_COLOR would decide
        width=columns or width,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=not fold and isinstance(part, str | Text))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def as_json(values: dict[str, Any]) -> str:
    r"""One object on one line, in ASCII; what is no UTF-8, as in names of files, is escaped as in CSV.

    >>> json.loads(as_json({"path": "caf\udce9.jpg"}))
    {'path': 'caf\\udce9.jpg'}
    """
    return _HALVES.sub(lambda found: "\\" * bool(found[1]) + found[0], json.dumps(values)) + "\n"

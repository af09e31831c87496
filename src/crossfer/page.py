"""Pages that need nothing else: no script, no network, one style for every report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 3rem; border-top: 1px solid #d0d7de; padding-top: 1rem }
.table { margin: 1rem 0; overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e3e7eb }
th:first-child { text-align: left } th[scope=col] { font-weight: 600; background: #f6f8fa }
th[scope=row] { font-weight: inherit }
img { max-width: 100% } figure { display: inline-block; margin: .5rem .5rem .5rem 0; vertical-align: top }
figcaption, .note { color: #57606a; font-size: .875rem } figure.face { width: 150px }
code { overflow-wrap: anywhere }
"""
Rows = Sequence[Sequence[str]]


def html_page(title: str, body: Iterable[str]) -> str:
    """A page of its own.

    Args:
        title: as text.
        body: pieces of HTML.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def html_table(name: str, heading: Sequence[str], rows: Rows) -> str:
    """A table of texts that scrolls on narrow screens, also by the keyboard.

    Args:
        name: what it is read out as.
        heading: of the columns.
        rows: the first cell of each names the row.
    """
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    lines = [
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    ]
    region = f'<div class="table" role="region" aria-label="{escape(name)}" tabindex="0">'
    return f"{region}<table><tr>{head}</tr>{''.join(lines)}</table></div>"

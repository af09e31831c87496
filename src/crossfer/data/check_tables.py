"""What a check of a data set found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from crossfer.console import text_table
from crossfer.data.findings import CheckReport, SplitCount
from crossfer.printable import printable


def check_tables(report: CheckReport) -> Group:
    """What ``CheckReport.to_dict`` gives, as tables for people."""
    return Group(
        f"{report.data} in {_plain(report.root)} ({report.protocol})",
        _counts(report),
        _classes(report),
        _overlaps(report),
        *_findings(report),
    )


def _counts(report: CheckReport) -> Table:
    table = text_table("images", "split", "there", "labelled", "published", "repeats", "nearly")
    for count in report.splits:
        published = " or ".join(f"{n:,}" for n in count.published) or "-"
        near = f"{count.near_repeats:,}" if report.near else "-"
        repeats = f"{count.repeats:,}"
        table.add_row(count.split, f"{count.images:,}", f"{count.labelled:,}", published, repeats, near)
    return table


def _classes(report: CheckReport) -> Table:
    table = text_table("labelled images by class (published)", "class", *(c.split for c in report.splits))
    for k, name in enumerate(report.labels):
        table.add_row(_plain(name), *(_with_published(count, k) for count in report.splits))
    return table


def _overlaps(report: CheckReport) -> RenderableType:
    if not report.overlaps:
        return "one part alone: nothing to compare it with\n"
    table = text_table(
        "images that occur in another part",
        "of",
        "in",
        "identical",
        "or nearly, or mirrored",
        left={"in"},
    )
    for overlap in report.overlaps:
        near = f"{overlap.near:,}" if report.near else "-"
        table.add_row(overlap.split, overlap.other, f"{overlap.identical:,}", near)
    return table


def _findings(report: CheckReport) -> Iterator[str]:
    styles = {"fatal": "bold red", "warning": "yellow"}
    for finding in report.findings:
        yield f"[{styles[finding.severity]}]{finding.severity}[/]: {_plain(finding.message)}"
        yield from (f"  {_plain(example)}" for example in finding.examples)
    if not report.findings:
        yield "nothing wrong was found"


def _plain(text: str) -> str:
    """A text with names of others in it, which rich and the terminal show as it is."""
    return escape(printable(text))


def _with_published(count: SplitCount, k: int) -> str:
    found = f"{count.per_class[k]:,}"
    return found if count.published_per_class is None else f"{found} ({count.published_per_class[k]:,})"

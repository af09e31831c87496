"""One page about a run: what was seen, what failed and why, how fast it went and where the time was spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from crossfer.figure import BLUE
from crossfer.page import Rows, html_page, html_table
from crossfer.scale.output import REPORT
from crossfer.scale.rows import BINS, MOST_FACES
from crossfer.scale.summary import commonest, summarise
from crossfer.system.atomic import write_atomically

WIDTH, HEIGHT, LINE = 640, 160, 22


def write_report(folder: Path) -> Path:
    """Writes the page about a run into its folder.

    Args:
        folder: of the run, finished or not.

    Returns:
        The page.

    Raises:
        ScoreError: if there is no run, or what it wrote is damaged.
        OSError: if the page cannot be written.
    """
    path = folder / REPORT
    write_atomically(path, html_report(summarise(folder), str(folder)).encode())
    return path


def html_report(summary: Mapping[str, Any], where: str) -> str:
    """A page with everything in it: no script, no network, no picture of a face.

    Args:
        summary: of a run, finished or not.
        where: the run's folder.
    """
    body = ["<h1>Scoring report</h1>", *_headline(summary, where)]
    for title, pieces in (
        ("Expressions", _expressions(summary)),
        ("Faces an image", _faces(summary)),
        ("Confidence", _confidence(summary)),
        ("Errors by cause", _errors(summary)),
        ("Where the time was spent", _stages(summary)),
        ("Throughput", _throughput(summary)),
    ):
        body += [f"<h2>{title}</h2>", *pieces]
    return html_page("Scoring report", body)


def _headline(summary: Mapping[str, Any], where: str) -> Iterator[str]:
    model, plan = summary["model"], summary["plan"]
    state = "complete" if summary["complete"] else f"{summary['shards']:,} of {plan['shards']:,} parts so far"
    options = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in summary["options"].items() if value is not None
    )
    yield (
        f"<p>{escape(', '.join(summary['inputs']))}, scored by {escape(model['name'])} "
        f"(SHA-256 {model['sha256'][:12]}; {escape(options)}) into <code>{escape(where)}</code>: {state}.</p>"
    )
    failed = sum(summary["errors"].values())
    yield html_table(
        "Images",
        ("", "images", "share"),
        [
            ("with faces", *_share(summary["images"] - failed - summary["images_without_face"], summary)),
            ("without a face", *_share(summary["images_without_face"], summary)),
            ("with an error", *_share(failed, summary)),
            ("all", *_share(summary["images"], summary)),
        ],
    )
    passed = summary["passed_over"]
    if passed:
        yield f'<p class="note">Passed over: {escape(commonest(passed))}.</p>'
    yield '<p class="note">An expression is what a face shows, not what a person feels.</p>'


def _share(count: int, summary: Mapping[str, Any]) -> tuple[str, str]:
    return f"{count:,}", f"{count / max(summary['images'], 1):.2%}"


def _expressions(summary: Mapping[str, Any]) -> Iterator[str]:
    yield _bars(sorted(summary["expressions"].items(), key=lambda item: -item[1]), "faces")
    if summary["options"]["abstain"]:
        share = summary["uncertain"] / max(summary["faces"], 1)
        yield f"<p>The model is too unsure to answer for {summary['uncertain']:,} faces ({share:.2%}).</p>"
    else:
        yield '<p class="note">Scored without --abstain: each face counts for its likeliest expression.</p>'


def _faces(summary: Mapping[str, Any]) -> Iterator[str]:
    counts = {int(faces): images for faces, images in summary["faces_an_image"].items()}
    named = [(f"{n} or more" if n == MOST_FACES else str(n), counts[n]) for n in sorted(counts)]
    yield _bars(named, "images")
    yield f"<p>{summary['faces']:,} faces in all.</p>"


def _confidence(summary: Mapping[str, Any]) -> Iterator[str]:
    counts = {int(step): faces for step, faces in summary["confidence"].items()}
    edges = [step / BINS for step in range(BINS)]
    values = [float(counts.get(step, 0)) for step in range(BINS)]
    yield _columns(
        values, [f"{edge:.2f}" for edge in edges], "probability of the likeliest expression", "faces"
    )


def _errors(summary: Mapping[str, Any]) -> Iterator[str]:
    if not summary["errors"]:
        yield "<p>None.</p>"
        return
    rows: Rows = [
        (cause, f"{count:,}", summary["error_examples"].get(cause, ""))
        for cause, count in sorted(summary["errors"].items(), key=lambda item: -item[1])
    ]
    yield html_table("Errors by cause", ("cause", "images", "for example"), rows)


def _stages(summary: Mapping[str, Any]) -> Iterator[str]:
    seconds, images = summary["seconds"], max(summary["images"], 1)
    total = sum(seconds.values()) or 1.0
    rows = [
        (stage, f"{value:,.1f}", f"{value / total:.1%}", f"{1000 * value / images:.3f}")
        for stage, value in seconds.items()
    ]
    yield html_table(
        "Where the time was spent", ("stage", "seconds of workers", "share", "ms an image"), rows
    )
    slowest = max(seconds, key=seconds.__getitem__)
    yield f"<p>Most of the time went into <b>{slowest}</b>.</p>"
    yield (
        f'<p class="note">{summary["input_bytes"] / 1e6:,.1f} MB were read and '
        f"{summary['output_bytes'] / 1e6:,.1f} MB written{_held(summary['worker_peak_bytes'])}.</p>"
    )


def _held(peak: int | None) -> str:
    return f"; a worker held at most {peak / 1e6:,.0f} MB" if peak else ""


def _throughput(summary: Mapping[str, Any]) -> Iterator[str]:
    stints = summary["stints"]
    yield html_table(
        "Throughput",
        ("stint", "engine", "workers", "images", "seconds", "images/s", "first rows after, s"),
        [
            (
                str(number),
                stint["engine"],
                str(stint["workers"]),
                f"{stint['images']:,}",
                f"{stint['seconds']:,.1f}",
                f"{stint['images_per_second'] or 0:,.1f}",
                f"{stint['first_rows_after']:,.1f}",
            )
            for number, stint in enumerate(stints, start=1)
        ],
    )
    for number, stint in enumerate(stints, start=1):
        curve = stint["throughput"]
        rates = [point["images_per_second"] for point in curve]
        ends = [f"{point['seconds']:,.0f}" for point in curve]
        title = f"stint {number}: seconds since it began"
        yield _columns(rates, ends, title, "images/s")


def _bars(counts: Sequence[tuple[str, int]], unit: str) -> str:
    """Bars that run to the right, one a name, with count and share."""
    total, most = sum(count for _, count in counts) or 1, max((count for _, count in counts), default=0) or 1
    lines = []
    for place, (name, count) in enumerate(counts):
        middle = place * LINE + LINE / 2
        length = 0.6 * WIDTH * count / most
        lines.append(
            f'<text x="0" y="{middle}" dominant-baseline="middle">{escape(name)}</text>'
            f'<rect x="110" y="{middle - 7}" width="{length:.1f}" height="14" fill="{BLUE}"/>'
            f'<text x="{118 + length:.1f}" y="{middle}" dominant-baseline="middle">'
            f"{count:,} ({count / total:.1%})</text>"
        )
    return _svg("".join(lines), len(counts) * LINE, f"{unit}: {total:,}")


def _columns(values: Sequence[float], labels: Sequence[str], title: str, unit: str) -> str:
    """Columns that rise from left to right, the highest named."""
    most = max(values, default=0.0) or 1.0
    step = WIDTH / max(len(values), 1)
    drawn = [
        f'<rect x="{place * step:.2f}" y="{20 + HEIGHT * (1 - value / most):.1f}" width="{0.9 * step:.2f}" '
        f'height="{HEIGHT * value / most:.1f}" fill="{BLUE}"/>'
        for place, value in enumerate(values)
    ]
    every = max(1, len(labels) // 8)
    drawn += [
        f'<text x="{place * step:.1f}" y="{HEIGHT + 36}">{escape(label)}</text>'
        for place, label in enumerate(labels)
        if place % every == 0
    ]
    drawn.append(f'<text x="0" y="12">highest: {most:,.0f} {unit}</text>')
    return _svg("".join(drawn), HEIGHT + 42, title)


def _svg(content: str, height: float, title: str) -> str:
    return (
        f'<figure><svg viewBox="0 0 {WIDTH + 40} {height}" width="{WIDTH + 40}" style="max-width: 100%" '
        f'font-size="13" role="img" aria-label="{escape(title)}">{content}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )

"""What ``crossfer score`` says of what it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossfer.printable import counted
from crossfer.scale.output import PARTS
from crossfer.scale.summary import commonest


def summary_lines(summary: Mapping[str, Any], output: Path) -> Iterator[str]:
    """What came out, for people; the same stands in ``summary.json``.

    Args:
        summary: of a run, finished or not.
        output: the run's folder.
    """
    errors = summary["errors"]
    yield (
        f"{output / PARTS}: {counted(summary['rows'], 'row')}; {counted(summary['images'], 'image')}, "
        f"{counted(summary['faces'], 'face')}, "
        f"{counted(summary['images_without_face'], 'image')} without a face, "
        f"{sum(errors.values()):,} with an error"
    )
    for cause, count in sorted(errors.items(), key=lambda item: -item[1]):
        yield f"  {cause}: {count:,}, as {summary['error_examples'][cause]}"
    if passed := summary["passed_over"]:
        yield f"  passed over: {commonest(passed)}"
    for stint in summary["stints"][-1:]:
        yield (
            f"  {stint['images_per_second'] or 0:,.1f} images/s by {counted(stint['workers'], 'worker')}, "
            f"{stint['seconds']:,.1f} s"
        )

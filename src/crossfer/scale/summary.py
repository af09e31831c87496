"""``summary.json``: what was seen, how long each stage took, how fast it went; all from the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossfer.scale.faults import ScoreError
from crossfer.scale.listing import LINKED
from crossfer.scale.output import MANIFEST, SUMMARY, manifest, read_run
from crossfer.scale.rows import Tally
from crossfer.scale.work import STAGES
from crossfer.system.atomic import write_atomically

POINTS = 120  # of the curve of throughput


@dataclass
class Stint:
    """A time of work, from its start to the last part that it added.

    Attributes:
        engine: ``"local"`` or ``"ray"``.
        workers: how many at once.
        began: seconds since 1970.
        finished: of each shard when it was done (seconds since 1970), how many seconds it took, and its
            images.
    """

    engine: str
    workers: int
    began: float
    finished: list[tuple[float, float, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max((at for at, _, _ in self.finished), default=self.began) - self.began

    @property
    def images(self) -> int:
        """How many images it did."""
        return sum(images for *_, images in self.finished)

    def curve(self) -> list[dict[str, float]]:
        """Images a second over equal steps of time, from the stint's start.

        A shard's images are spread over the time that it took.
        """
        step = self.seconds / POINTS
        if not step:
            return []
        edges = np.arange(POINTS + 1) * step
        done = np.zeros(POINTS + 1)
        for at, took, images in self.finished:
            end = at - self.began
            done += images * np.clip((edges - (end - took)) / max(took, 1e-9), 0, 1)
        rates = np.diff(done) / step
        return [
            {"seconds": round(float(end), 3), "images_per_second": round(float(rate), 3)}
            for end, rate in zip(edges[1:], rates, strict=True)
        ]


def write_summary(folder: Path) -> dict[str, Any]:
    """Sums up a run, writes it beside the parts, and returns it."""
    summary = summarise(folder)
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=2).encode() + b"\n")
    return summary


def summarise(folder: Path) -> dict[str, Any]:
    """What a run has done so far, as plain values.

    Raises:
        ScoreError: if the folder holds no run, or its manifest has lost its beginning.
    """
    if (run := read_run(folder)) is None:
        raise ScoreError(f"{folder}: expected the folder of a run, found none; check the path")
    sums, stints = _Sums(), list[Stint]()
    for line in manifest(folder):
        if "shard" in line:
            if not stints:
                raise ScoreError(
                    f"{folder / MANIFEST}: expected a line about the start of the work before the first "
                    "part, found none; bring back the whole file, or remove it, and "
                    "--resume does all parts again"
                )
            sums.add(line)
            images = line["tally"]["images"]
            stints[-1].finished.append((line["finished"], sum(line["seconds"].values()), images))
        else:
            stints.append(Stint(line["engine"], line["workers"], line["began"]))
    return {
        **{key: run[key] for key in ("version", "model", "options", "inputs", "passed_over", "plan")},
        "complete": sums.shards == run["plan"]["shards"],
        "shards": sums.shards,
        "rows": sums.rows,
        "output_bytes": sums.bytes,
        **_seen(sums.tally),
        "seconds": {stage: round(value, 3) for stage, value in sums.seconds.items()},
        "worker_peak_bytes": sums.peak or None,  # not every system tells
        "stints": list(_stints(stints)),
    }


@dataclass
class _Sums:
    tally: Tally = field(default_factory=Tally)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    shards: int = 0
    rows: int = 0
    bytes: int = 0
    peak: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        """Adds what the manifest says of a shard."""
        self.tally.add(Tally.from_dict(line["tally"]))
        for stage in STAGES:
            self.seconds[stage] += line["seconds"][stage]
        self.shards += 1
        self.rows += line["rows"]
        self.bytes += line["bytes"]
        self.peak = max(self.peak, line["peak"])


def _seen(tally: Tally) -> dict[str, Any]:
    values = tally.to_dict()
    return {
        "images": tally.images,
        "input_bytes": tally.bytes_read,
        "faces": tally.faces,
        "images_without_face": tally.faces_an_image[0],
        "faces_an_image": {k: values["faces_an_image"][k] for k in sorted(values["faces_an_image"])},
        "expressions": values["expressions"],
        "uncertain": tally.uncertain,
        "confidence": {k: values["confidence"][k] for k in sorted(values["confidence"])},
        "errors": values["errors"],
        "error_examples": values["examples"],
    }


def _stints(stints: list[Stint]) -> Iterator[dict[str, Any]]:
    for stint in stints:
        if stint.finished:
            yield {
                "engine": stint.engine,
                "workers": stint.workers,
                "began": stint.began,
                "seconds": round(stint.seconds, 3),
                "first_rows_after": round(min(at for at, _, _ in stint.finished) - stint.began, 3),
                "images": stint.images,
                "images_per_second": round(stint.images / stint.seconds, 3) if stint.seconds else None,
                "throughput": stint.curve(),
            }


def commonest(passed_over: Mapping[str, int], most: int = 10) -> str:
    """What was passed over, in words: linked folders, files of the commonest kinds, and of further ones."""
    linked = passed_over.get(LINKED, 0)
    files = ((kind, count) for kind, count in passed_over.items() if kind != LINKED)
    ranked = sorted(files, key=lambda item: (-item[1], item[0]))
    words = [f"{linked:,} linked folder{'s' * (linked > 1)}"] if linked else []
    words += [f"{count:,} {kind}" for kind, count in ranked[:most]]
    further = sum(count for _, count in ranked[most:])
    return ", ".join([*words, f"{further:,} of further kinds"] if further else words)

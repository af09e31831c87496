"""``summary.json``: what was seen, how long each stage took, and how fast it went, from the manifest alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfer.runtime.atomic import write_atomically
from crossfer.scale.faults import ScoreError
from crossfer.scale.output import SUMMARY, manifest, read_run
from crossfer.scale.rows import Tally
from crossfer.scale.work import STAGES

POINTS = 120  # of the curve of throughput


@dataclass
class Session:
    """A time of work, from its start to the last part that it added.

    Attributes:
        engine: ``"local"`` or ``"ray"``.
        workers: how many at once.
        began: seconds since 1970.
        finished: when each shard was done, likewise, and its images.
    """

    engine: str
    workers: int
    began: float
    finished: list[tuple[float, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max((at for at, _ in self.finished), default=self.began) - self.began

    @property
    def images(self) -> int:
        """How many images it did."""
        return sum(images for _, images in self.finished)

    def curve(self) -> list[dict[str, float]]:
        """Images a second over equal steps of time, from the session's start."""
        step = self.seconds / POINTS
        if not step:
            return []
        counts = [0] * POINTS
        for at, images in self.finished:
            counts[min(int((at - self.began) / step), POINTS - 1)] += images
        return [
            {"seconds": round((n + 1) * step, 3), "images_per_second": round(count / step, 3)}
            for n, count in enumerate(counts)
        ]


def write_summary(folder: Path) -> dict[str, Any]:
    """Sums up a run, writes it beside the parts, and returns it."""
    summary = summarise(folder)
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=2).encode() + b"\n")
    return summary


def summarise(folder: Path) -> dict[str, Any]:
    """What a run has done so far, as plain values.

    Raises:
        ScoreError: if the folder holds no run.
    """
    if (run := read_run(folder)) is None:
        raise ScoreError(f"{folder}: expected the folder of a run, found none; check the path")
    tally, seconds, sizes = (
        Tally(),
        dict.fromkeys(STAGES, 0.0),
        {"rows": 0, "bytes": 0, "shards": 0, "peak": 0},
    )
    sessions: list[Session] = []
    for line in manifest(folder):
        if "shard" not in line:
            sessions.append(Session(line["engine"], line["workers"], line["began"]))
            continue
        part = Tally.from_dict(line["tally"])
        tally.add(part)
        for stage in STAGES:
            seconds[stage] += line["seconds"][stage]
        sizes["rows"] += line["rows"]
        sizes["bytes"] += line["bytes"]
        sizes["shards"] += 1
        sizes["peak"] = max(sizes["peak"], line["peak"])
        sessions[-1].finished.append((line["finished"], part.images))
    return {
        **{key: run[key] for key in ("version", "model", "options", "inputs", "passed_over", "plan")},
        "complete": sizes["shards"] == run["plan"]["shards"],
        "shards": sizes["shards"],
        "rows": sizes["rows"],
        "output_bytes": sizes["bytes"],
        **_seen(tally),
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "worker_peak_bytes": sizes["peak"],
        "sessions": list(_sessions(sessions)),
    }


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


def _sessions(sessions: list[Session]) -> Iterator[dict[str, Any]]:
    for session in sessions:
        if session.finished:
            yield {
                "engine": session.engine,
                "workers": session.workers,
                "began": session.began,
                "seconds": round(session.seconds, 3),
                "first_rows_after": round(min(at for at, _ in session.finished) - session.began, 3),
                "images": session.images,
                "images_per_second": round(session.images / session.seconds, 3) if session.seconds else None,
                "throughput": session.curve(),
            }

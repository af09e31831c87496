"""The timeline of a person: how probable each expression was over time, as a picture; needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from crossfer.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW, ink_on, picture
from crossfer.system.atomic import write_atomically
from crossfer.video.options import timelines_in
from crossfer.video.people import Person, clock

COLORS = {
    "neutral": "#C9CDD2",  # pale: it is often seen
    "happiness": ORANGE,
    "surprise": YELLOW,
    "sadness": BLUE,
    "anger": VERMILION,
    "disgust": GREEN,
    "fear": PURPLE,
    "contempt": GREY,
}
_HATCHES = ("", "///", "..", "xxx", "---", "||")
_LOOKS = [(color, hatch) for hatch in _HATCHES for color in (SKY, *COLORS.values())]  # of other classes
MOST_POINTS = 1200  # of a timeline: more than a picture shows
_HELD = 0.5  # seconds for which the last value is drawn where frames come slowly, or until the next one
_IN_A_COLUMN = 14  # names of the legend: as many as stand beside the picture
_AT_ONCE = 64  # people whose timelines are held at once


class Timeline:
    """A person's mean probabilities in equal stretches of time.

    Args:
        person: who, and from when to when.
        step: seconds between two frames, roughly: no stretch is shorter.
        classes: number of expressions.
    """

    def __init__(self, person: Person, step: float, classes: int) -> None:
        self.person = person
        seconds = person.last - person.first + step
        self._held = max(_HELD, step)
        self._middle = step / 2  # frames may be late by a part of it
        self._count = max(1, min(MOST_POINTS, int(seconds / step + 0.5)))
        self._width = seconds / self._count
        self._sums = np.zeros((self._count, classes))
        self._frames = np.zeros(self._count)

    def add(self, time: float, probabilities: Iterable[float]) -> None:
        """Takes one more frame."""
        place = min(int((time - self.person.first + self._middle) / self._width), self._count - 1)
        self._sums[place] += tuple(probabilities)
        self._frames[place] += 1

    @property
    def edges(self) -> np.ndarray:
        """Where the stretches begin and the last ends, in seconds, shape (N + 1,)."""
        return self.person.first + np.arange(self._count + 1) * self._width

    @property
    def probabilities(self) -> np.ndarray:
        """Shape (N, K); nan where the person was not seen for a while."""
        seen = np.where(self._frames > 0, np.arange(self._count), -1)
        last = np.maximum.accumulate(seen)
        held = (last >= 0) & (np.arange(self._count) - last <= self._held / self._width)
        with np.errstate(invalid="ignore"):
            values = self._sums / self._frames[:, None]
        return np.where(held[:, None], values[last], np.nan)


def draw_timelines(
    people: Sequence[Person],
    rows: Callable[[], Iterable[dict[str, Any]]],
    folder: Path,
    *,
    labels: Sequence[str],
    step: float,
) -> None:
    """Writes ``person-N.png`` for each person, a few people a pass over the rows; removes those of before.

    Args:
        people: whom to draw.
        rows: gives all rows anew each time it is called.
        folder: where the pictures go.
        labels: the model's expressions in class order.
        step: seconds between two frames, roughly.
    """
    written: set[Path] = set()
    for start in range(0, len(people), _AT_ONCE):
        group = people[start : start + _AT_ONCE]
        timelines = {person.track: Timeline(person, step, len(labels)) for person in group}
        for row in rows():
            if row["track"] in timelines:
                values = row["smoothed"]["probabilities"]
                timelines[row["track"]].add(row["time"], (values[label] for label in labels))
        for track, timeline in timelines.items():
            path = folder / f"person-{track}.png"
            write_atomically(path, timeline_picture(timeline, labels))
            written.add(path)
    for path in set(timelines_in(folder)) - written:
        path.unlink()


def timeline_picture(timeline: Timeline, labels: Sequence[str]) -> bytes:
    """A PNG: probabilities stacked over time, and under them a band of the most probable expression."""
    edges, values = timeline.edges, timeline.probabilities
    figure = Figure(figsize=(10, 3.6))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(8, 1))
    bottom, looks = np.zeros(len(values)), looks_of(labels)
    for k, label in enumerate(labels):
        top = bottom + np.nan_to_num(values[:, k])
        upper.stairs(top, edges, baseline=bottom, label=label, **_fill(looks[k]))
        bottom = top
    seen = ~np.isnan(values[:, 0])
    answers = np.where(seen, np.nan_to_num(values).argmax(axis=1), -1)
    for k, look in enumerate(looks):
        lower.stairs((answers == k).astype(float), edges, **_fill(look))
    _dress(figure, upper, lower, timeline.person, (edges[0], edges[-1]))
    return picture(figure)


def _dress(figure: Figure, upper: Axes, lower: Axes, person: Person, ends: tuple[float, float]) -> None:
    title = f"person {person.track}, {clock(person.first)} to {clock(person.last)}, {person.frames} frames"
    upper.set_title(title, loc="left", fontsize=11)
    upper.set(ylabel="probability", ylim=(0, 1), xlim=ends)
    lower.set(yticks=[], ylim=(0, 1), xlabel="time")
    lower.set_ylabel("most\nprobable", rotation=0, ha="right", va="center", fontsize=8)
    lower.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    handles, names = upper.get_legend_handles_labels()
    upper.legend(
        handles[::-1],
        names[::-1],
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        fontsize=9,
        ncols=1 + (len(names) - 1) // _IN_A_COLUMN,
    )
    figure.align_ylabels()


def looks_of(labels: Sequence[str]) -> list[tuple[str, str]]:
    """A colour and a hatch for each label, no two alike up to 54 labels; known ones keep their colours."""
    known = {label: (COLORS[label], "") for label in labels if label in COLORS}
    others = cycle([look for look in _LOOKS if look not in known.values()])
    return [known.get(label) or next(others) for label in labels]


def _fill(look: tuple[str, str]) -> dict[str, Any]:
    """How matplotlib draws it; the edge, of no width, gives the hatch its colour."""
    color, hatch = look
    return {"fill": True, "facecolor": color, "hatch": hatch, "edgecolor": ink_on(color), "linewidth": 0}

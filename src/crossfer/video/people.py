"""Who was seen from when to when, and with which expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfer.console import ANSWER_WIDTH, answer_table, as_text
from crossfer.runtime.percent import percent

NEXT_BEST = 3
MOST_LINES = 30  # of the table: those who were seen most


@dataclass
class Person:
    """One track in short.

    Attributes:
        track: number of the person.
        first: when first seen, in seconds.
        last: when last seen.
        answers: how many frames showed each expression, after smoothing.
    """

    track: int
    first: float
    last: float
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def frames(self) -> int:
        """In how many frames the person was seen."""
        return self.answers.total()


class People:
    """Collects rows, some hundred bytes a person.

    Args:
        rows: those that are there already.
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = ()) -> None:
        self._people: dict[int, Person] = {}
        for row in rows:
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Takes one more row, as JSON Lines has it."""
        person = self._people.setdefault(row["track"], Person(row["track"], row["time"], row["time"]))
        person.last = row["time"]
        person.answers[row["smoothed"].get("answer", row["smoothed"]["expression"])] += 1

    def all(self) -> list[Person]:
        """Everybody, by number."""
        return [self._people[track] for track in sorted(self._people)]


def clock(seconds: float) -> str:
    """A time for people to read.

    >>> clock(7.25), clock(3725)
    ('0:07.2', '1:02:05.0')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}.{rest % 10}"


def most_seen(people: Sequence[Person], count: int) -> list[Person]:
    """The ``count`` people who were seen in most frames, by number."""
    chosen = sorted(people, key=lambda person: -person.frames)[:count]
    return sorted(chosen, key=lambda person: person.track)


def people_table(people: Sequence[Person], columns: int | None = None) -> str:
    """One line a person, of those seen most; in colour if a terminal's ``columns`` are given."""
    table = answer_table()
    for heading in ("person", "from", "to", "frames"):
        table.add_column(heading, justify="right")
    table.add_column("expressions, by share of frames")
    for person in most_seen(people, MOST_LINES):
        table.add_row(
            str(person.track), clock(person.first), clock(person.last), str(person.frames), _shares(person)
        )
    others = len(people) - MOST_LINES
    rest = [f" and {others} seen in fewer frames"] if others > 0 else []
    return as_text(table, *rest, width=ANSWER_WIDTH, fold=False, columns=columns)


def _shares(person: Person) -> str:
    common = person.answers.most_common(NEXT_BEST)
    return ", ".join(f"{answer} {_share(count, person.frames)}" for answer, count in common)


def _share(count: int, frames: int) -> str:
    return "100%" if count == frames else percent(count / frames)

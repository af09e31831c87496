import io

import numpy as np
import pytest
from PIL import Image

from crossfer.labels import FERPLUS
from crossfer.video.people import MOST_LINES, People, clock, most_seen, people_table
from crossfer.video.timeline import (
    COLORS,
    MOST_POINTS,
    Timeline,
    draw_timelines,
    looks_of,
    timeline_picture,
)

LABELS = FERPLUS.expressions


def row(track: int, time: float, expression: str = "neutral", sure: float = 0.93, answer: str | None = None):
    rest = (1 - sure) / (len(LABELS) - 1)
    values = {label: sure if label == expression else rest for label in LABELS}
    said = {} if answer is None else {"answer": answer}
    return {
        "track": track,
        "time": time,
        "smoothed": {"expression": expression, "probabilities": values, **said},
    }


def talk() -> list[dict]:
    """Person 1 is neutral for a second, then happy for three; person 2 is seen at the end."""
    rows = [row(1, number / 25, "neutral" if number < 25 else "happiness") for number in range(100)]
    return rows + [row(2, 4 + number / 25, "surprise") for number in range(10)]


def test_people_and_their_expressions():
    one, two = People(talk()).all()
    assert (one.track, one.first, one.last, one.frames) == (1, 0.0, 3.96, 100)
    assert one.answers == {"neutral": 25, "happiness": 75}
    assert (two.first, two.frames) == (4.0, 10)


def test_where_the_model_is_unsure_it_says_so():
    (person,) = People([row(1, 0, answer="uncertain"), row(1, 1, answer="neutral")]).all()
    assert person.answers == {"uncertain": 1, "neutral": 1}


def test_the_table():
    table = people_table(People(talk()).all())
    assert " ".join(table.splitlines()[1].split()) == "1 0:00.0 0:04.0 100 happiness 75.0%, neutral 25.0%"
    assert table.splitlines()[2].endswith("surprise 100%")
    assert "\x1b" not in table


def test_a_crowd_is_cut_short_and_told():
    rows = [row(track, time) for track in range(1, 41) for time in range(track)]
    people = People(rows).all()
    table = people_table(people)
    assert len(table.splitlines()) == MOST_LINES + 2
    assert "and 10 seen in fewer frames" in table
    assert [person.track for person in most_seen(people, 3)] == [38, 39, 40]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3599.99, "1:00:00.0"), (36_000, "10:00:00.0")]
)
def test_times_for_people(seconds, text):
    assert clock(seconds) == text


def timeline(rows, step=1 / 25) -> Timeline:
    (person,) = People(rows).all()
    found = Timeline(person, step, len(LABELS))
    for one in rows:
        found.add(one["time"], one["smoothed"]["probabilities"].values())
    return found


def test_a_short_timeline_has_a_stretch_a_frame():
    rows = [row(1, round(number / 23.976, 6), LABELS[number % 8]) for number in range(50)]
    found = timeline(rows, 1 / 23.976)
    assert found.probabilities.shape == (50, 8)
    assert found.probabilities.argmax(axis=1).tolist() == [number % 8 for number in range(50)]
    assert found.edges[-1] == pytest.approx(50 / 23.976, abs=1e-4)


def test_a_long_timeline_averages_and_stays_small():
    rows = [row(1, number / 25, "fear" if number % 2 else "anger") for number in range(20_000)]
    found = timeline(rows)
    assert found.probabilities.shape == (MOST_POINTS, 8)
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert found.probabilities[:, LABELS.index("fear")] == pytest.approx(0.47, abs=0.05)


def test_a_gap_stays_empty_and_slow_frames_do_not():
    gap = timeline([row(1, t / 25) for t in range(25)] + [row(1, 4 + t / 25) for t in range(25)])
    missing = np.isnan(gap.probabilities[:, 0])
    assert 0.4 < missing.mean() < 0.65
    slow = timeline([row(1, t / 5) for t in range(20)])
    assert not np.isnan(slow.probabilities[:-1, 0]).any()


def test_frames_that_are_a_little_late_leave_no_hole():
    times = [np.ceil(number * 29.97 - 1e-6) / 29.97 for number in range(1, 61)]  # one a second
    found = timeline([row(1, time) for time in times], step=1.0)
    assert not np.isnan(found.probabilities).any()


def test_frames_that_are_far_apart_leave_no_hole():
    times = [np.ceil(number * 0.7 * 1.5 - 1e-6) / 1.5 for number in range(86)]  # of 1.5 frames a second
    for start in (1, 2):
        found = timeline([row(1, time) for time in times[start:]], step=0.7)
        assert not np.isnan(found.probabilities).any()


def test_a_person_seen_once_has_a_timeline():
    assert timeline([row(1, 2.0)]).probabilities.shape == (1, 8)
    assert Image.open(io.BytesIO(timeline_picture(timeline([row(1, 2.0)]), LABELS))).format == "PNG"


def test_the_picture_shows_the_expressions_in_their_colours():
    picture = Image.open(io.BytesIO(timeline_picture(timeline(talk()[:100]), LABELS))).convert("RGB")
    pixels = np.asarray(picture).reshape(-1, 3)
    counts = {
        name: int((pixels == tuple(int(color[at : at + 2], 16) for at in (1, 3, 5))).all(axis=1).sum())
        for name, color in COLORS.items()
    }
    assert counts["happiness"] > 2 * counts["neutral"] > 20 * max(counts["sadness"], 1)


def test_classes_of_a_models_own_are_drawn_apart():
    labels = [f"class {number}" for number in range(54)]
    values = np.full(len(labels), 1 / 8) * (np.arange(len(labels)) < 8)
    (person,) = People([row(1, 0.0)]).all()
    found = Timeline(person, 1 / 25, len(labels))
    found.add(0.0, values)
    picture = Image.open(io.BytesIO(timeline_picture(found, labels))).convert("RGB")
    counts = sorted((count for count, _ in picture.getcolors(picture.width * picture.height)), reverse=True)
    assert counts[8] > 0.5 * counts[1], "white and eight more, each an eighth of the area"
    assert len(set(looks_of(labels))) == len(labels)


def test_expressions_keep_their_colours_beside_classes_of_a_models_own():
    assert looks_of(LABELS) == [(color, "") for color in COLORS.values()]
    looks = looks_of(["calm", "happiness", "bored", "fear", "awake"])
    assert (looks[1][0], looks[3][0]) == (COLORS["happiness"], COLORS["fear"])
    assert len({color for color, _ in looks}) == len(looks)


def test_a_picture_a_person_and_none_of_before(tmp_path, monkeypatch):
    monkeypatch.setattr("crossfer.video.timeline._AT_ONCE", 1)
    for name in ("person-7.png", "person-anna.png"):
        (tmp_path / name).write_bytes(timeline_picture(timeline([row(1, 2.0)]), LABELS))
    draw_timelines(People(talk()).all(), talk, tmp_path, labels=LABELS, step=1 / 25)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"person-1.png", "person-2.png", "person-anna.png"}

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.runtime.detection import Detection
from crossfer.types import Box
from crossfer.video.between import faces_at, faces_of
from crossfer.video.tracks import Look, Tracks, look_from_dict


def face(x: float, y: float = 50.0, score: float = 0.9, side: float = 40.0) -> Detection:
    points = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    return Detection(Box(x, y, side, side), score, tuple((x + a * side, y + b * side) for a, b in points))


def run(looks, times=None, rate=8.0):
    """The tracks of each look, when all is over."""
    tracks = Tracks(0.5, rate)
    times = [number / 8 for number in range(len(looks))] if times is None else times
    found = [tracks.look(n, time, faces) for n, (time, faces) in enumerate(zip(times, looks, strict=True))]
    tracks.close()
    return [look.tracks for look in found]


def test_a_face_keeps_its_number_from_its_first_look_on():
    assert run([[face(10 + 8 * n)] for n in range(6)]) == [[1]] * 6


def test_numbers_follow_the_order_of_appearance_whatever_the_order_of_detections():
    looks = [[face(10)], [face(12)], [face(200), face(14)], [face(16), face(200)], [face(200), face(18)]]
    assert run(looks) == [[1], [1], [2, 1], [1, 2], [2, 1]]


def test_a_face_seen_only_once_does_not_count():
    assert run([[face(10)], [face(10), face(200)], [face(10)], [face(10)]]) == [[1], [1, None], [1], [1]]


def test_a_face_seen_only_in_the_last_look_or_the_only_one_counts():
    assert run([[face(10)], [face(10)], [face(10), face(200)]]) == [[1], [1], [1, 2]]
    assert run([[face(10), face(90, score=0.2)]]) == [[1, None]]


def test_a_faint_face_starts_no_track_but_carries_one_on():
    assert run([[face(10, score=0.4)]] * 4) == [[None]] * 4
    assert run([[face(10)], [face(12)], [face(14, score=0.35)], [face(16)]]) == [[1]] * 4


def test_somebody_who_is_back_soon_is_the_same_and_later_another():
    there = [[face(10)]] * 4
    assert run([*there, *[[]] * 6, *there])[-1] == [1]
    assert run([*there, *[[]] * 10, *there])[-1] == [2]


def test_how_long_somebody_is_waited_for_is_a_matter_of_seconds_not_looks():
    looks = [[face(10)], [face(10)], [], [face(10)], [face(10)]]
    assert run(looks, [0, 0.1, 0.5, 1.0, 1.1])[-1] == [1]
    assert run(looks, [0, 0.1, 0.5, 1.3, 1.4])[-1] == [2]


def test_where_looks_are_rare_people_are_followed_all_the_same():
    """One picture in three seconds, as of a building site."""
    looks = [[face(10)], [face(12)], [], [face(10)], [face(11)]]
    assert run(looks, [0, 3, 6, 9, 12], rate=1 / 3) == [[1], [1], [], [1], [1]]


@pytest.mark.parametrize("start", [[], [0, 0.12, 0.24, 0.36]])
def test_where_looks_are_rarer_than_on_average_two_in_a_row_are_joined_up(start):
    """A recording of a screen on which nothing moves for a while."""
    times = [*start, *(1.5 * number for number in range(1, 6))]
    assert run([[face(10)]] * len(times), times, rate=25 / 3) == [[1]] * len(times)


def test_a_long_step_does_not_bring_back_who_was_away_before_it():
    looks = [[face(10)], [face(10)], [], [face(10)], [face(10)]]
    assert run(looks, [0, 0.1, 0.5, 2.0, 2.1]) == [[1], [1], [], [2], [2]]


def test_two_who_cross_keep_their_numbers_while_one_hides_the_other():
    left, right = np.linspace(0, 200, 26), np.linspace(200, 0, 26)
    looks = [[face(a)] if abs(a - b) < 22 else [face(a), face(b)] for a, b in zip(left, right, strict=True)]
    found = run(looks)
    assert found[0] == [1, 2]
    assert found[-1] == [1, 2]
    assert {number for numbers in found for number in numbers} == {1, 2}


def test_a_head_may_move_by_more_than_its_width_between_two_looks():
    assert run([[face(10 + 55 * n)] for n in range(5)]) == [[1]] * 5


def test_two_who_appear_together_and_move_fast_are_not_mixed_up():
    looks = [[face(50 + 30 * n), face(110 + 30 * n)] for n in range(4)]
    assert run(looks) == [[1, 2]] * 4


def test_a_varying_rate_moves_the_expected_place_as_far_as_time_has_passed():
    """At a gap of four intervals a steady walk is four steps on; by looks it would be lost."""
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.0]
    assert run([[face(10 + 120 * time)] for time in times], times) == [[1]] * 8


@settings(max_examples=40)
@given(st.lists(st.lists(st.tuples(st.floats(0, 300), st.floats(0.31, 1)), max_size=4), max_size=12))
def test_the_same_looks_written_down_and_read_again_give_the_same_numbers(places):
    looks = [[face(x, score=score) for x, score in row] for row in places]
    original, again = Tracks(0.5, 8.0), Tracks(0.5, 8.0)
    found = [original.look(number, number / 8, faces) for number, faces in enumerate(looks)]
    repeated = [again.look(*look_from_dict(json.loads(json.dumps(look.to_dict())))) for look in found]
    assert found == repeated
    for look in found:
        numbers = [number for number in look.tracks if number is not None]
        assert len(set(numbers)) == len(numbers)


def look(time, faces, numbers) -> Look:
    return Look(0, time, tuple(faces), list(numbers))


def test_between_two_looks_a_face_moves_on_a_line_in_time():
    before = look(1.0, [face(0), face(100)], [1, 2])
    after = look(3.0, [face(300), face(100), face(40, 70, 0.7, 80)], [3, 2, 1])
    (one, first), (two, second) = faces_at(before, after, 1.5)
    assert (one, two) == (1, 2)
    assert first.box == Box(10, 55, 50, 50)
    assert first.landmarks[0] == pytest.approx((0.75 * 12 + 0.25 * 64, 0.75 * 66 + 0.25 * 102))
    assert first.score == pytest.approx(0.85)
    assert second == face(100)


def test_at_the_looks_themselves_the_line_ends_where_the_faces_are():
    before, after = look(1.0, [face(3)], [1]), look(2.0, [face(70)], [1])
    assert faces_at(before, after, 1.0) == faces_of(before)
    assert faces_at(before, after, 2.0) == faces_of(after)


def test_who_is_missing_from_one_look_is_not_made_up():
    before, after = look(0.0, [face(0), face(90)], [1, None]), look(1.0, [face(90)], [2])
    assert faces_at(before, after, 0.5) == []
    assert [number for number, _ in faces_of(before)] == [1]

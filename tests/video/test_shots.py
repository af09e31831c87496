import json

import numpy as np
import pytest
from skimage import data

from crossfer.video.shots import GRID, Shots, averaged, changes
from support.clips import Place, background, frames_with, head, line


def cuts(frames) -> list[int]:
    shots = Shots()
    return [number for number, pixels in enumerate(frames) if shots.begins(pixels)]


@pytest.fixture
def portrait(astronaut) -> np.ndarray:
    return astronaut[20:380, :]


@pytest.fixture
def coffee() -> np.ndarray:
    return data.coffee()[20:380, :512]


def test_a_cut_is_the_first_frame_of_what_comes_next(portrait, coffee):
    assert cuts([portrait] * 6 + [coffee] * 6 + [portrait] * 6) == [6, 12]


def test_short_shots_are_shots(portrait, coffee):
    assert cuts([*[portrait] * 3, *[coffee] * 3, *[portrait] * 4, *[coffee] * 2]) == [3, 6, 10]
    assert cuts([portrait, coffee, coffee]) == [1]


def test_the_first_frame_is_no_cut_and_nothing_that_stays_is(portrait):
    assert cuts([portrait] * 10) == []
    assert cuts([np.zeros_like(portrait)] * 10) == []


def test_a_flash_and_a_change_of_exposure_are_none(portrait):
    bright = np.clip(portrait.astype(int) * 2 + 30, 0, 255).astype(np.uint8)
    assert cuts([portrait] * 5 + [bright] + [portrait] * 5 + [portrait // 4] * 5) == []


def test_a_fade_from_one_to_the_other_is_none(portrait, coffee):
    shares = np.linspace(0, 1, 25)
    assert cuts([(portrait * (1 - share) + coffee * share).astype(np.uint8) for share in shares]) == []


def test_a_pan_that_gathers_speed_is_none(portrait):
    steps = np.concatenate([np.arange(0, 12, 2), np.full(6, 14)])
    assert cuts([portrait[:, left : left + 320] for left in np.cumsum(steps)]) == []


def test_somebody_who_walks_through_or_appears_is_none(astronaut):
    heads = [head(astronaut, 100), head(astronaut, 100)]
    path = [*line(Place(-40, 100), Place(360, 100), 12), *[None] * 3]
    assert cuts(frames_with(heads, [[place, None] for place in path])) == []
    assert cuts(frames_with(heads, [[Place(70, 95), None]] * 5 + [[Place(70, 95), Place(240, 95)]] * 5)) == []


def test_noise_is_no_endless_row_of_cuts():
    rng = np.random.default_rng(0)
    assert len(cuts(rng.integers(0, 255, (30, 96, 128, 3), np.uint8))) <= 1


def test_a_video_of_any_size_is_averaged():
    for size in ((1, 1), (7, 300), (1080, 1920)):
        grid = averaged(np.full((*size, 3), 80, np.uint8))
        assert grid.shape == (GRID, GRID)
        assert (grid == 80).all()


def test_changes_are_the_correlation_of_numpy():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 255, (2, GRID, GRID), np.uint8)
    change, difference = changes(one, other)
    assert change == pytest.approx(1 - np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert difference == pytest.approx(np.abs(one.astype(int) - other.astype(int)).mean())
    even = np.full((GRID, GRID), 9, np.uint8)
    assert changes(even, even) == (0.0, 0.0)
    assert changes(even, one)[0] == 1.0


def test_what_it_remembers_goes_through_json(portrait, coffee):
    frames = [background(512, 360), portrait, portrait, coffee, coffee, portrait]
    expected = cuts(frames)
    for stop in range(len(frames)):
        first = Shots()
        found = [n for n in range(stop) if first.begins(frames[n])]
        second = Shots()
        second.restore(json.loads(json.dumps(first.to_dict())))
        assert found + [n for n in range(stop, len(frames)) if second.begins(frames[n])] == expected

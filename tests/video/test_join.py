from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from crossfer.video.join import join
from support.clips import FINE, background, write_clip
from support.full_disk import files_of_at_most
from video.copies import decoded, encoded, numbered


@pytest.mark.parametrize("name", ["copy.mp4", "copy.mov", "copy.mkv", "copy.m4v"])
def test_segments_are_joined_frame_by_frame_with_their_times(tmp_path, name):
    frames = numbered(24)
    times = [0.0, 0.04, 0.05, 0.3, *(0.3 + 0.04 * number for number in range(1, 21))]
    writer = encoded(tmp_path, frames, times)
    assert len(writer.segments) == 4
    target = tmp_path / name
    assert join(writer.segments, tmp_path, target, time_base=FINE, end=1.2, sound=None) == []
    found, pictures = decoded(target)
    tolerance = 1e-3 if name.endswith("mkv") else 1e-6  # Matroska counts milliseconds
    assert found == pytest.approx(times, abs=tolerance)
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.abs(picture.astype(int) - frame).mean() < 3
    with av.open(str(target)) as container:
        assert container.duration / av.time_base == pytest.approx(1.2, abs=0.04)


def test_a_copy_in_one_segment_and_one_in_many_show_the_same(tmp_path):
    frames, times = numbered(20), [number / 25 for number in range(20)]
    pictures = []
    for every in (20, 3):
        folder = tmp_path / str(every)
        folder.mkdir()
        writer = encoded(folder, frames, times, every=every)
        join(writer.segments, folder, folder / "c.mp4", time_base=FINE, end=0.8, sound=None)
        pictures.append(decoded(folder / "c.mp4")[1])
    assert all(np.abs(a.astype(int) - b).mean() < 2 for a, b in zip(*pictures, strict=True))


def test_moving_pictures_stay_in_order(tmp_path):
    """An encoder that may look ahead would put frames of a steady motion out of order."""
    frames = [np.roll(background(160, 96), 3 * number, axis=1) for number in range(40)]
    times = [number / 25 for number in range(40)]
    writer = encoded(tmp_path, frames, times, every=20)
    join(writer.segments, tmp_path, tmp_path / "c.mp4", time_base=FINE, end=1.6, sound=None)
    found, pictures = decoded(tmp_path / "c.mp4")
    assert found == pytest.approx(times, abs=1e-6)
    assert all(np.abs(a.astype(int) - b).mean() < 3 for a, b in zip(pictures, frames, strict=True))


@pytest.mark.parametrize("every", [2, 4])
def test_times_closer_than_the_time_base_follow_one_another_across_segments(tmp_path, every):
    base = Fraction(1, 1000)
    writer = encoded(tmp_path, numbered(4), [0, 0.04, 0.04004, 0.08], every=every, time_base=base)
    join(writer.segments, tmp_path, tmp_path / "c.mp4", time_base=base, end=0.12, sound=None)
    assert decoded(tmp_path / "c.mp4")[0] == pytest.approx([0, 0.04, 0.041, 0.08], abs=1e-6)


def test_a_copy_that_cannot_be_written_is_an_os_error_that_names_it(tmp_path):
    writer = encoded(tmp_path, numbered(3), [0, 0.04, 0.08])
    target = tmp_path / "none" / "c.mp4"
    with pytest.raises(OSError, match="cannot be written") as caught:
        join(writer.segments, tmp_path, target, time_base=FINE, end=0.12, sound=None)
    assert caught.value.filename == str(target)


def test_a_full_disk_is_an_error_that_names_the_copy(tmp_path):
    writer = encoded(tmp_path, numbered(3), [0, 0.04, 0.08])
    target = tmp_path / "c.mp4"
    with files_of_at_most(500), pytest.raises(OSError, match="cannot be written") as caught:
        join(writer.segments, tmp_path, target, time_base=FINE, end=0.12, sound=None)
    assert caught.value.filename == str(target)
    assert [path.name for path in tmp_path.iterdir()] == ["segment-00000.mp4"]


def test_names_that_ffmpeg_takes_for_protocols_are_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("talk:one.mp4.partial")
    folder.mkdir()
    source = write_clip(Path("s.mp4"), numbered(3), sound="aac").rename("talk:two.mp4")
    writer = encoded(folder, numbered(3), [0, 0.04, 0.08])
    join(writer.segments, folder, Path("talk:one.mp4"), time_base=FINE, end=0.12, sound=source)
    assert len(decoded(tmp_path / "talk:one.mp4")[0]) == 3

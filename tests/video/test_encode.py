import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from crossfer.video.encode import MOST_SIDE, SegmentWriter
from crossfer.video.join import join
from crossfer.video.source import VideoError
from support.clips import FINE
from video.copies import RATE, decoded, encoded, numbered


def test_a_segment_that_counts_is_on_the_disk(tmp_path, monkeypatch):
    safe = []
    monkeypatch.setattr(os, "fsync", lambda number: safe.append(Path(f"/proc/self/fd/{number}").read_bytes()))
    writer = encoded(tmp_path, numbered(10), [number / 25 for number in range(10)])
    assert safe == [(tmp_path / segment.name).read_bytes() for segment in writer.segments]
    assert len(safe) == 2


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    writer = encoded(tmp_path, numbered(3, 63, 47), [0, 0.04, 0.08])
    join(writer.segments, tmp_path, tmp_path / "c.mp4", time_base=FINE, end=0.12, sound=None)
    assert decoded(tmp_path / "c.mp4")[1][0].shape == (48, 64, 3)


@pytest.mark.parametrize("shape", [(2, MOST_SIDE, 3), (MOST_SIDE, 2, 3)])
def test_the_longest_side_there_can_be(tmp_path, shape):
    writer = SegmentWriter(tmp_path, FINE, RATE)
    writer.write(np.zeros(shape, np.uint8), 0.0)
    writer.end_segment()
    assert decoded(tmp_path / "segment-00000.mp4")[1][0].shape == shape


@pytest.mark.parametrize(("height", "width"), [(2, MOST_SIDE + 1), (MOST_SIDE + 1, 2)])
def test_a_side_too_long_for_the_encoder_is_refused(tmp_path, height, width):
    writer = SegmentWriter(tmp_path, FINE, RATE)
    with pytest.raises(VideoError, match=f"at most 16384 pixels a side.*found {width} x {height}; scale"):
        writer.write(np.zeros((height, width, 3), np.uint8), 0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_time_base_too_fine_for_the_file_is_rounded(tmp_path):
    writer = encoded(tmp_path, numbered(3), [0, 0.04, 0.08], time_base=Fraction(1, 1_000_000_000))
    join(writer.segments, tmp_path, tmp_path / "c.mp4", time_base=writer.time_base, end=0.12, sound=None)
    assert decoded(tmp_path / "c.mp4")[0] == pytest.approx([0, 0.04, 0.08], abs=1e-4)


def test_abandoned_segments_do_not_count(tmp_path):
    writer = SegmentWriter(tmp_path, FINE, RATE)
    writer.write(numbered(1)[0], 0.0)
    writer.abandon()
    assert writer.segments == []
    writer.write(numbered(1)[0], 0.0)
    writer.end_segment()
    assert [segment.name for segment in writer.segments] == ["segment-00000.mp4"]

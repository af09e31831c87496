from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from crossfer.video import sound
from crossfer.video.join import join
from crossfer.video.source import packets_of
from support.clips import FINE, write_clip
from video.copies import decoded, encoded, numbered

LATM = {"mpegts_flags": "latm"}  # AAC as in television, which decodes to floating point


def sound_packets(path: Path) -> list[tuple[bytes, float]]:
    with av.open(str(path)) as container:
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def copied(tmp_path: Path, source: Path, name: str, count: int, end: float) -> tuple[Path, list[str]]:
    folder = tmp_path / "segments"
    folder.mkdir(exist_ok=True)
    writer = encoded(folder, numbered(count), [number / 25 for number in range(count)])
    target = tmp_path / name
    return target, join(writer.segments, folder, target, time_base=FINE, end=end, sound=source)


@pytest.mark.parametrize("name", ["copy.mp4", "copy.mkv"])
def test_sound_is_copied_packet_by_packet(tmp_path, name):
    source = write_clip(tmp_path / "s.mp4", numbered(50), sound="aac")
    target, notes = copied(tmp_path, source, name, 50, 2.0)
    assert notes == []
    before, after = sound_packets(source), sound_packets(target)
    before = [packet for packet in before if packet[1] < 2.0]
    assert [content for content, _ in after] == [content for content, _ in before]
    # Matroska knows no time before zero, so the encoder's run-up moves sound and pictures on, together.
    shift = decoded(target)[0][0]
    assert 0 <= shift < 0.04
    assert [time - shift for _, time in after] == pytest.approx([time for _, time in before], abs=2e-3)
    with av.open(str(source)) as one, av.open(str(target)) as other:
        assert other.duration / av.time_base == pytest.approx(one.duration / av.time_base, abs=0.04)


ANEW = [("s.mkv", "copy.mp4"), ("s.mkv", "copy.mov"), ("s.mov", "copy.mp4")]
FITTING = [("s.mkv", "copy.mkv"), ("s.mov", "copy.mov"), ("s.mov", "copy.mkv")]


@pytest.mark.parametrize(("source", "name"), ANEW)
def test_sound_that_does_not_fit_is_encoded_anew_and_told(tmp_path, source, name):
    source = write_clip(tmp_path / source, numbered(50), sound="pcm_s16le")
    target, notes = copied(tmp_path, source, name, 50, 2.0)
    assert notes == ["sound of the kind pcm_s16le was encoded anew as aac"]
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    heard = np.concatenate(frames, axis=-1)[0]
    assert len(heard) / 44_100 == pytest.approx(2.0, abs=0.06)
    assert np.abs(heard).max() == pytest.approx(8000 / 32768, rel=0.3)


# What the muxer refuses as it begins a file, what it has no name for, and rates that AAC does not have.
REFUSED = [
    ("s.mkv", "libopus", 48_000, "copy.mov", 48_000),
    ("s.mkv", "flac", 44_100, "copy.mov", 44_100),
    ("s.mkv", "libmp3lame", 8_000, "copy.mp4", 8_000),
    ("s.m2ts", "pcm_bluray", 48_000, "copy.mkv", 48_000),
    ("s.flv", "adpcm_swf", 44_100, "copy.mkv", 44_100),
    ("s.mov", "pcm_s16le", 22_254, "copy.mp4", 48_000),
    ("s.mov", "pcm_s16le", 192_000, "copy.mp4", 48_000),
]


@pytest.mark.parametrize(("source", "codec", "rate", "name", "found"), REFUSED)
def test_sound_that_the_copy_cannot_hold_is_encoded_anew(tmp_path, source, codec, rate, name, found):
    source = write_clip(tmp_path / source, numbered(50), sound=codec, sound_rate=rate)
    target, notes = copied(tmp_path, source, name, 50, 2.0)
    assert len(notes) == 1
    assert "was encoded anew as aac" in notes[0]
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.streams.audio[0].codec_context.sample_rate == found
    assert sound_packets(target)[-1][1] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize(("source", "name"), FITTING)
def test_sound_without_compression_is_copied_where_it_fits(tmp_path, source, name):
    source = write_clip(tmp_path / source, numbered(50), sound="pcm_s16le")
    target, notes = copied(tmp_path, source, name, 50, 9.0)
    assert notes == []
    assert b"".join(content for content, _ in sound_packets(target)) == b"".join(
        content for content, _ in sound_packets(source)
    )


def test_texts_of_the_source_may_be_in_any_encoding(tmp_path):
    source = write_clip(tmp_path / "s.mkv", numbered(25), sound="aac")
    source.write_bytes(source.read_bytes().replace(b"Lavf", b"L\xe9vf"))
    target, notes = copied(tmp_path, source, "copy.mp4", 25, 1.0)
    assert notes == []
    assert sound_packets(target)[-1][1] == pytest.approx(1.0, abs=0.04)


def test_a_source_that_is_gone_is_an_os_error_that_names_it(tmp_path):
    with pytest.raises(OSError, match="cannot be read: No such file") as caught:
        copied(tmp_path, tmp_path / "gone.mp4", "copy.mp4", 3, 0.12)
    assert caught.value.filename == str(tmp_path / "gone.mp4")


def test_sound_ends_where_the_pictures_end_if_nothing_else_is_said(tmp_path):
    source = write_clip(tmp_path / "s.mp4", numbered(50), sound="aac")
    target, _ = copied(tmp_path, source, "copy.mp4", 20, 0.8)
    assert max(time for _, time in sound_packets(target)) < 0.8


def test_pictures_and_sound_stay_together_if_a_file_does_not_begin_at_zero(tmp_path):
    late = [10 + number / 25 for number in range(50)]
    source = write_clip(tmp_path / "s.ts", numbered(50), late, sound="aac")
    with av.open(str(source)) as container:
        start = container.start_time / av.time_base
        shift = container.streams.audio[0].start_time / 90_000 - start
    target, _ = copied(tmp_path, source, "copy.mp4", 50, 60.0)
    with av.open(str(target)) as container:
        found = next(packet for packet in container.demux(audio=0) if packet.size)
        assert float(found.pts * found.time_base) == pytest.approx(shift, abs=2e-3)


@pytest.mark.parametrize("name", ["copy.mp4", "copy.mkv"])
@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_sound_whose_times_run_back_is_left_out_and_told(tmp_path, name, codec):
    """As ``cat one.ts two.ts`` leaves it."""
    parts = [write_clip(tmp_path / f"{part}.ts", numbered(50), sound=codec) for part in range(2)]
    source = tmp_path / "both.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    target, notes = copied(tmp_path, source, name, 100, 4.0)
    assert notes[-1].endswith("s of sound whose time stamps run back were left out")
    assert float(notes[-1].split()[0]) == pytest.approx(2.0, abs=0.06)
    assert len(decoded(target)[0]) == 100
    times = [time for _, time in sound_packets(target)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize(("kind", "told", "options"), [("mp2", "mp2", {}), ("aac", "aac_latm", LATM)])
def test_sound_may_change_its_rate_on_the_way(tmp_path, kind, told, options):
    """As broadcasts do between two programmes."""
    one = write_clip(tmp_path / "one.ts", numbered(50), sound=kind, container_options=options)
    later = [2 + number / 25 for number in range(50)]
    two = write_clip(
        tmp_path / "two.ts", numbered(50), later, sound=kind, sound_rate=48_000, container_options=options
    )
    source = tmp_path / "both.ts"
    source.write_bytes(one.read_bytes() + two.read_bytes())
    target, notes = copied(tmp_path, source, "copy.mp4", 100, 4.0)
    assert notes == [f"sound of the kind {told} was encoded anew as aac"]
    times = [time for _, time in sound_packets(target)]
    assert times[-1] == pytest.approx(4.0, abs=0.06)
    assert max(after - before for before, after in pairwise(times)) < 0.06


def test_damaged_sound_is_left_out(tmp_path, monkeypatch):
    def damaged(container, *streams):
        for number, packet in enumerate(packets_of(container, *streams)):
            if number == 10:
                wrong = av.Packet(bytes(50))
                wrong.stream, wrong.time_base = packet.stream, packet.time_base
                wrong.pts = wrong.dts = packet.dts
                yield wrong
            else:
                yield packet

    source = write_clip(tmp_path / "s.ts", numbered(50), sound="aac")
    monkeypatch.setattr(sound, "packets_of", damaged)
    target, notes = copied(tmp_path, source, "copy.mp4", 50, 9.0)
    assert notes == []
    assert len(sound_packets(target)) == len(sound_packets(source)) - 1


def test_sound_that_runs_back_after_the_end_is_none_of_the_copys(tmp_path):
    one = write_clip(tmp_path / "one.ts", numbered(50), sound="aac")
    source = tmp_path / "both.ts"
    source.write_bytes(one.read_bytes() * 2)
    target, notes = copied(tmp_path, source, "copy.mp4", 40, 1.6)
    assert notes == []
    assert len(sound_packets(target)) == len([time for _, time in sound_packets(one) if time < 1.6])


def test_sound_with_a_wrong_time_stamp_goes_on_after_it(tmp_path, monkeypatch):
    def strayed(container, *streams):
        for number, packet in enumerate(packets_of(container, *streams)):
            if 10 <= number < 13:
                packet.dts += round(1000 / packet.time_base)
            yield packet

    source = write_clip(tmp_path / "s.mp4", numbered(50), sound="aac")
    monkeypatch.setattr(sound, "packets_of", strayed)
    target, notes = copied(tmp_path, source, "copy.mp4", 50, 2.0)
    assert notes == []
    assert len(sound_packets(target)) == len([one for one in sound_packets(source) if one[1] < 2.0]) - 3


def test_a_source_is_read_no_further_than_the_copy_goes(tmp_path, monkeypatch):
    read = 0

    def counted(container, *streams):
        nonlocal read
        for packet in packets_of(container, *streams):
            read += 1
            yield packet

    source = write_clip(tmp_path / "s.mp4", numbered(250), sound="aac")
    monkeypatch.setattr(sound, "packets_of", counted)
    target, _ = copied(tmp_path, source, "copy.mp4", 25, 1.0)
    assert sound_packets(target)[-1][1] == pytest.approx(1.0, abs=0.04)
    assert read < len(sound_packets(source)) / 2

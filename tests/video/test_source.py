import http.server
import io
import os
import re
import struct
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from crossfer.video import source as source_module
from crossfer.video.live import WAITING, LiveFrames
from crossfer.video.recognize import read_frames
from crossfer.video.source import VideoError, VideoSource
from support.clips import background, cut, write_clip
from support.failing_disk import failing_at_packet
from support.rtsp import rtsp_server


def counted(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames whose grey tells their number."""
    return [np.full((height, width, 3), 20 + 8 * (number % 25), np.uint8) for number in range(count)]


def read(path, first=0):
    with VideoSource(path) as source:
        frames = list(source.frames(first))
        return source, frames


def test_every_frame_comes_once_in_order_with_its_time(tmp_path):
    source, frames = read(write_clip(tmp_path / "a.mp4", counted(20)))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(20)], abs=1e-9)
    assert [round(float(frame.pixels.mean())) for frame in frames] == pytest.approx(
        [20 + 8 * number for number in range(20)], abs=2
    )
    assert source.problem is None
    assert source.duration == pytest.approx(0.8)
    assert source.end == pytest.approx(0.8)
    assert not source.live


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.mov"])
def test_a_varying_frame_rate_is_kept(tmp_path, name):
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.9, 1.0]
    _, frames = read(write_clip(tmp_path / name, counted(7), times))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("name", ["late.ts", "late.mkv", "late.mp4"])
def test_times_count_from_the_start_of_the_file(tmp_path, name):
    late = [100 + number / 25 for number in range(20)]
    source, frames = read(write_clip(tmp_path / name, counted(20), late))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(20)], abs=1e-6)
    assert source.duration == pytest.approx(0.8)
    assert source.problem is None


def test_reading_may_begin_later_and_gives_the_same_frames(tmp_path):
    path = write_clip(tmp_path / "a.mp4", counted(20), options={"bf": "2"})
    _, whole = read(path)
    _, rest = read(path, first=13)
    assert [(frame.index, frame.time) for frame in rest] == [(f.index, f.time) for f in whole[13:]]
    assert all((a.pixels == b.pixels).all() for a, b in zip(rest, whole[13:], strict=True))


def test_what_is_not_wanted_is_decoded_and_passed_over(tmp_path):
    path = write_clip(tmp_path / "a.mp4", counted(12))
    asked, passed = [], []
    with VideoSource(path) as source:

        def wanted(time: float, before: float) -> bool:
            asked.append((round(before * 25), round(time * 25)))
            return len(asked) % 3 == 1

        found = [frame.index for frame in source.frames(2, lambda: passed.append(source.end), wanted)]
        assert (found, source.problem, source.end) == ([2, 5, 8, 11], None, pytest.approx(12 / 25))
    assert asked == [(number - 1, number) for number in range(2, 12)]
    assert len(passed) == 8


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
def test_rotation_in_the_metadata_is_applied(tmp_path, rotation):
    stored = background(80, 48)
    stored[:16, :16] = 255
    path = write_clip(tmp_path / "r.mp4", [stored] * 3, rotation=rotation)
    _, (frame, *_) = read(path)
    upright = np.rot90(stored, round(rotation / 90) % 4)
    assert frame.pixels.shape == upright.shape
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 6


MATRICES = {
    (1, 0, 0, 1): lambda stored: stored,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda stored: np.rot90(stored, 2),
    (0, 1, 1, 0): lambda stored: stored.swapaxes(0, 1),
    (0, -1, 1, 0): np.rot90,
    (0, 1, -1, 0): lambda stored: np.rot90(stored, 3),
    (0, -1, -1, 0): lambda stored: np.rot90(stored.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_mirrored_picture_is_put_right(tmp_path, matrix):
    """As from the front camera of some telephones: ``x' = a x + c y``, ``y' = b x + d y``."""
    stored = background(80, 48)
    stored[:16, :16] = 255
    path = write_clip(tmp_path / "r.mp4", [stored] * 3)
    content = path.read_bytes()
    plain, changed = (
        struct.pack(">9i", *(n << 16 for n in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
        for a, b, c, d in ((1, 0, 0, 1), matrix)
    )
    at = content.index(plain, content.index(b"tkhd"))
    path.write_bytes(content[:at] + changed + content[at + len(changed) :])
    _, (frame, *_) = read(path)
    upright = MATRICES[matrix](stored)
    assert frame.pixels.shape == upright.shape
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 6


def test_pixels_are_made_square(tmp_path):
    _, frames = read(write_clip(tmp_path / "wide.mp4", counted(3), aspect=Fraction(3, 2)))
    assert frames[0].pixels.shape == (48, 96, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size"),
    [
        ("a.mkv", "ffv1", "gray", (33, 17)),
        ("b.mkv", "ffv1", "yuv444p10le", (31, 47)),
        ("c.mkv", "ffv1", "bgra", (5, 3)),
        ("d.mp4", "libx264", "yuv444p", (51, 35)),
        ("e.avi", "mjpeg", "yuvj420p", (62, 46)),
        ("f.mkv", "libx264", "yuv420p10le", (64, 48)),
    ],
)
def test_odd_pixel_formats_and_sizes(tmp_path, name, codec, pixel_format, size):
    path = write_clip(
        tmp_path / name, counted(4, *size), codec=codec, pixel_format=pixel_format, time_base=Fraction(1, 25)
    )
    _, frames = read(path)
    assert len(frames) == 4
    assert frames[0].pixels.shape == (size[1], size[0], 3)
    assert [frame.pixels.mean() for frame in frames] == pytest.approx([20, 28, 36, 44], abs=3)


def test_frames_of_another_size_are_brought_to_that_of_the_first(tmp_path):
    small, large = counted(3), counted(3, 128, 96)
    parts = [write_clip(tmp_path / f"{k}.ts", part) for k, part in enumerate((small, large))]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, frames = read(path)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert len(frames) >= 5
    assert all(a.time < b.time for a, b in pairwise(frames))
    _, later = read(path, first=4)
    assert [frame.pixels.shape for frame in later] == [(48, 64, 3)] * (len(frames) - 4)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"movflags": "faststart"}), ("b.mkv", "libx264", {}), ("c.avi", "mpeg4", {})],
)
def test_a_file_cut_off_in_the_middle_gives_what_is_there_and_says_so(tmp_path, name, codec, options):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    base = Fraction(1, 25) if codec == "mpeg4" else Fraction(1, 90_000)
    whole = write_clip(tmp_path / name, noise, codec=codec, time_base=base, container_options=options)
    source, frames = read(cut(whole, tmp_path / f"cut-{name}", 0.6))
    assert 15 < len(frames) < 50
    assert source.problem is not None
    assert "cut off" in source.problem
    assert f"{source.end:.2f} s" in source.problem
    assert source.end == pytest.approx(frames[-1].time + 0.04, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flv", "flv"), ("b.mkv", "libx264"), ("c.mp4", "libx264"), ("d.ts", "libx264")]
)
def test_sound_that_is_longer_than_the_pictures_is_no_damage(tmp_path, name, codec):
    path = write_clip(
        tmp_path / name, counted(50), codec=codec, time_base=Fraction(1, 25), sound="aac", sound_end=5.0
    )
    # Not everyone who writes Matroska states the length of each stream.
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DIRATION"))
    source, frames = read(path)
    assert len(frames) == 50
    assert source.problem is None
    if name in ("a.flv", "b.mkv"):
        source, _ = read(cut(path, tmp_path / f"cut-{name}", 0.6))
        assert "cut off" in str(source.problem)


@pytest.mark.parametrize(
    ("name", "codec", "times", "count"),
    [
        ("skipped.avi", "mpeg4", [*range(50), *range(100, 150)], 100),
        ("trimmed.mp4", "libx264", range(-25, 75), 75),
    ],
)
def test_frames_that_are_left_out_on_purpose_are_no_damage(tmp_path, name, codec, times, count):
    path = write_clip(
        tmp_path / name,
        counted(100),
        [number / 25 for number in times],
        codec=codec,
        time_base=Fraction(1, 25),
    )
    source, frames = read(path)
    assert len(frames) == count
    assert source.problem is None


def test_damage_in_the_middle_is_passed_over_and_told(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = write_clip(tmp_path / "a.mkv", noise, codec="ffv1", options={"slicecrc": "1", "g": "1"})
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 30_000):
        content[at] ^= 0x5A
    path.write_bytes(content)
    source, frames = read(path)
    assert 20 < len(frames) <= 60
    assert source.problem is not None
    assert str(path) in source.problem


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_random_damage_never_causes_another_error(tmp_path, name):
    codec, base = ("mpeg4", Fraction(1, 25)) if name == "a.avi" else ("libx264", Fraction(1, 1000))
    whole = write_clip(tmp_path / name, counted(12), codec=codec, time_base=base).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(60):
        content = bytearray(whole)
        where = len(whole) if number % 2 else 600
        for at in rng.integers(0, where, size=(1, 5, 50)[number % 3]):
            content[at] = rng.integers(256)
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(content)
        try:
            read(path)
        except VideoError:
            refused += 1
    assert 0 < refused < 60


def test_a_stream_that_turns_up_later_is_passed_over(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (192, 320, 3), np.uint8) for _ in range(10)]
    plain = write_clip(tmp_path / "a.ts", noise).read_bytes()
    later = write_clip(tmp_path / "b.ts", counted(10), [0.4 + n / 25 for n in range(10)], sound="mp2")
    path = tmp_path / "both.ts"
    repeats = 7_000_000 // len(plain) + 1  # more than FFmpeg looks at to begin with
    path.write_bytes(plain * repeats + later.read_bytes() + plain * repeats)
    with VideoSource(path) as source:
        assert not source.has_audio
        assert sum(1 for _ in source.frames()) > 19 * repeats


def test_time_goes_on_where_its_counter_begins_anew(tmp_path):
    part = write_clip(tmp_path / "a.ts", counted(50)).read_bytes()
    path = tmp_path / "thrice.ts"
    path.write_bytes(part * 3)
    _, frames = read(path)
    assert len(frames) > 140
    assert np.diff([frame.time for frame in frames]) == pytest.approx(0.04, abs=0.045)
    assert frames[-1].time == pytest.approx(149 / 25, abs=0.3)


def no_frames(path: Path) -> None:
    write_clip(path, [])


def only_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 44_100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none.mp4", lambda path: None, "no such file"),
        ("empty.mp4", lambda path: path.touch(), "expected a video, found none"),
        ("junk.mp4", lambda path: path.write_bytes(b"junk" * 1000), "expected a video, found none"),
        ("folder", lambda path: path.mkdir(), "found a folder"),
        ("still.png", lambda path: Image.new("RGB", (64, 48)).save(path), "found a picture"),
        ("still.jpg", lambda path: Image.new("RGB", (64, 48)).save(path), "found a picture"),
        ("still.gif", lambda path: Image.new("RGB", (64, 48)).save(path), "found a picture"),
        ("still.avif", lambda path: Image.new("RGB", (64, 48)).save(path), "found a picture"),
        ("frames.mkv", no_frames, "expected a video, found none"),
        ("frames.y4m", lambda path: path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420\n"), "found no frame"),
        ("frames.avi", no_frames, "found no frame"),
        ("notes.txt", lambda path: path.write_text("a text, no video\n" * 200), "found text"),
        ("data.bin", lambda path: path.write_bytes(bytes(range(256)) * 40), "found text"),
        ("frames.mp4", no_frames, "found a file without pictures"),
        ("sound.m4a", only_sound, "found only sound"),
        ("list.m3u8", lambda path: path.write_text("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"), "expected a video"),
    ],
)
def test_what_is_no_video_is_one_clear_sentence(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(VideoError, match=re.escape(str(path))) as caught:
        read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gif_that_moves_is_a_video(tmp_path):
    first, *rest = map(Image.fromarray, counted(5))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=200)
    assert len(read(tmp_path / "a.gif")[1]) == 5


def test_a_file_cut_off_before_its_index_says_what_may_be_wrong(tmp_path):
    whole = write_clip(tmp_path / "a.mp4", counted(30))
    with pytest.raises(VideoError, match="cut off before the index"):
        read(cut(whole, tmp_path / "b.mp4", 0.6))


def test_frames_that_are_too_large_are_refused(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", counted(3))
    monkeypatch.setattr(source_module, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match="found 64 x 48"):
        read(path)


@pytest.mark.parametrize("source", [np.zeros((4, 4, 3), np.uint8), b"\0" * 100, None, True, 1.5, ["a.mp4"]])
def test_what_is_no_name_of_a_video_is_not_taken_for_one(source):
    with pytest.raises(
        TypeError, match=rf"expected a path, .* got {type(source).__name__}; for frames of your"
    ):
        VideoSource(source)


def test_what_stands_for_a_path_is_one(tmp_path):
    path = write_clip(tmp_path / "a.mp4", counted(3))
    for name in (tmp_path, os.fsencode(tmp_path)):
        with os.scandir(name) as entries, VideoSource(next(entries)) as source:  # pyright: ignore
            assert source.name == str(path)


def test_an_empty_name_is_one_clear_sentence():
    with pytest.raises(
        VideoError, match="expected a video, found an empty name, as of a variable that is not"
    ):
        VideoSource("")


@pytest.mark.parametrize("source", [97, "97", np.int64(97)])
def test_a_camera_that_is_not_there(source):
    with pytest.raises(VideoError, match="camera 97: no device /dev/video97; found"):
        VideoSource(source)


def test_a_file_whose_name_is_a_number_or_looks_like_an_option_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = write_clip(tmp_path / "a.mp4", counted(3)).read_bytes()
    for name in ("97", "pipe:0", "concat:a|b"):
        Path(name).write_bytes(content)
        assert len(read(name)[1]) == 3


def test_a_file_whose_name_looks_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("http:").mkdir()
    write_clip(tmp_path / "a.mp4", counted(3)).rename("http:/talk:one.mp4")
    source, frames = read("http://talk:one.mp4")
    assert len(frames) == 3
    assert source.file == Path("http:/talk:one.mp4")


@pytest.mark.parametrize("threads", [1, 4])
def test_where_reading_stops_the_frames_that_the_decoder_holds_still_come(tmp_path, threads):
    path = write_clip(tmp_path / "a.mp4", counted(60), options={"preset": "medium", "bf": "3"})
    with VideoSource(path) as source, failing_at_packet(30):
        source._decoder.thread_count = threads
        frames = list(source.frames())
    assert len(frames) == 30
    assert source.end == pytest.approx(frames[-1].time + 0.04)
    assert source.problem == f"{path}: reading stopped after {source.end:.2f} s (Input/output error)"
    assert source.stopped is not None
    assert source.stopped < source.end


def test_reading_that_stops_before_the_first_frame_is_an_error(tmp_path, monkeypatch):
    def broken(*_):
        raise av.error.ConnectionResetError(104, "Connection reset by peer")
        yield

    path = write_clip(tmp_path / "a.mp4", counted(3))
    monkeypatch.setattr(source_module, "packets_of", broken)
    with pytest.raises(VideoError, match=r"reading stopped after 0.00 s .Connection reset by peer"):
        read(path)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/a.mp4", "file:///etc/passwd", "concat://a"])
def test_other_addresses_are_refused(address):
    with pytest.raises(VideoError, match="expected an address with rtsp"):
        VideoSource(address)


@pytest.mark.parametrize("address", ["ftp://user:secret@127.0.0.1:9/x", "ftp://user:p@secret@127.0.0.1/x"])
def test_no_password_where_the_kind_of_address_is_wrong(address):
    with pytest.raises(VideoError, match="expected an address with") as caught:
        VideoSource(address)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_and_no_password_in_the_message():
    with pytest.raises(VideoError, match=r"rtsp://127.0.0.1:9/x: cannot be opened") as caught:
        VideoSource("rtsp://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    """The address of a server on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def server(tmp_path):
    """Serves ``tmp_path`` on loopback."""
    with serving(partial(Quiet, directory=str(tmp_path))) as address:
        yield address


def test_a_file_behind_an_address_is_read_whole(tmp_path, server):
    write_clip(tmp_path / "a.mp4", counted(20))
    source, frames = read(f"{server}/a.mp4")
    assert len(frames) == 20
    assert not source.live
    with pytest.raises(VideoError, match="cannot be opened"):
        VideoSource(f"{server}/none.mp4")


class JpegCamera(http.server.BaseHTTPRequestHandler):
    """Sends pictures one by one, without times, as many network cameras do."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        rng = np.random.default_rng(0)
        for _ in range(5):
            pixels = rng.integers(0, 255, (120, 160, 3), np.uint8)
            picture = io.BytesIO()
            Image.fromarray(pixels).save(picture, "JPEG")
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.getvalue())}\r\n\r\n"
            self.wfile.write(head.encode() + picture.getvalue() + b"\r\n")
            time.sleep(0.3)

    def log_message(self, *_):
        pass


def test_pictures_without_times_have_those_of_their_arrival():
    with serving(JpegCamera) as address, VideoSource(address) as source:
        assert source.live
        times = [frame.time for frame in source.frames()]
    assert times[0] == pytest.approx(0, abs=1e-6)
    assert len(times) == 5
    assert 0.8 < times[-1] < 4  # 1.2 on an idle machine; by number it would be 0.16


def test_a_stream_over_rtsp_plays_at_its_own_pace():
    with rtsp_server(counted(30), rate=60) as address, VideoSource(address) as source:
        assert source.live
        frames = list(read_frames(source))
    # A few may be dropped while the stream is being opened.
    assert 28 <= len(frames) + source.dropped <= 30
    assert len(frames) > 10
    assert frames[0].time <= source.dropped / 60
    steps = np.diff([frame.time for frame in frames])
    assert (steps > 0).all()
    assert np.median(steps) == pytest.approx(1 / 60, abs=2e-3)
    assert frames[0].pixels.mean() == pytest.approx(20 + 8 * frames[0].index, abs=3)


def test_a_file_cannot_make_it_fetch_something_from_the_network(tmp_path, server):
    write_clip(tmp_path / "a.ts", counted(20))
    asked = tmp_path / "list.m3u8"
    asked.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.8,\n{server}/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        read(asked)


class Burst:
    """A live source that delivers everything at once."""

    dropped = 0

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.done = threading.Event()

    def frames(self, wanted=source_module.every_frame):
        for number in range(self.count):
            if not wanted(number / 25, (number - 1) / 25):
                continue
            yield source_module.Frame(number, number / 25, np.zeros((2, 2, 3), np.uint8))
        self.done.set()
        if self.error:
            raise self.error


def test_what_comes_too_fast_is_dropped_oldest_first_and_counted():
    burst = Burst(100)
    live = LiveFrames(burst)
    frames = iter(live)
    first = next(frames)
    assert burst.done.wait(10)
    rest = [frame.index for frame in frames]
    assert len(rest) <= WAITING
    assert rest == list(range(100 - len(rest), 100))
    assert first.index not in rest
    assert burst.dropped == 100 - len(rest) - 1


def test_of_a_live_source_those_that_are_not_wanted_wait_for_nobody():
    burst = Burst(100)
    live = LiveFrames(burst, wanted=lambda time, before: time // 1 > before // 1)
    assert [frame.index for frame in live] == [0, 25, 50, 75]
    assert burst.dropped == 0


def test_an_error_of_a_live_source_reaches_the_reader_after_its_frames():
    frames = iter(LiveFrames(Burst(3, VideoError("gone"))))
    seen = []
    with pytest.raises(VideoError, match="gone"):
        seen.extend(frame.index for frame in frames)
    assert seen == [0, 1, 2]


def test_a_live_source_may_be_left_early():
    live = LiveFrames(Burst(100_000))
    frames = iter(live)
    next(frames)
    live.close()
    assert not live._thread.is_alive()


def test_a_live_source_of_which_few_frames_are_wanted_may_be_left_too():
    live = LiveFrames(Burst(50_000_000), wanted=lambda time, before: time == 0)
    frames = iter(live)
    next(frames)
    live.close()
    assert not live._thread.is_alive()


class Silent(Burst):
    """A live source from which nothing comes after the first frame, and that cannot be interrupted."""

    def frames(self, wanted=source_module.every_frame):
        yield from super().frames()
        assert self.heard.wait(10)

    def __init__(self) -> None:
        super().__init__(1)
        self.heard = threading.Event()


def test_a_silent_source_is_left_to_its_thread_when_asked_to_stop():
    silent, asked = Silent(), threading.Event()
    live = LiveFrames(silent, asked.is_set)
    frames = iter(live)
    next(frames)
    threading.Timer(0.2, asked.set).start()
    assert next(frames, None) is None
    live.close()
    assert silent.in_use
    silent.heard.set()
    live._thread.join(10)
    live.close()
    assert not silent.in_use


def test_a_source_in_use_is_not_closed_under_its_reader(tmp_path):
    with VideoSource(write_clip(tmp_path / "a.mp4", counted(3))) as source:
        source.in_use = True
        source.close()
        assert len(list(source.frames())) == 3
        source.in_use = False


def test_files_are_read_without_dropping(tmp_path):
    path = write_clip(tmp_path / "a.mp4", counted(40))
    with VideoSource(path) as source:
        assert [frame.index for frame in read_frames(source)] == list(range(40))

import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from crossfer import Recognizer
from crossfer.video import command
from crossfer.video import source as source_module
from crossfer.video.command import run_video
from crossfer.video.options import VideoOptions
from crossfer.video.recognize import VideoSettings
from crossfer.video.source import VideoError, VideoSource
from support.bundles import calibrated_bundle, calibration
from support.clips import Place, background, cut, frames_with, head, line, paste, write_clip
from support.failing_disk import failing_at_packet
from support.full_disk import files_of_at_most
from support.rtsp import rtsp_server

COUNT, WIDTH, HEIGHT, SIDE = 46, 224, 128, 64
TIMES = [number / 25 + (0.5 if number > 30 else 0.0) for number in range(COUNT)]


@pytest.fixture(scope="module")
def recognizer(tiny_model) -> Recognizer:
    return Recognizer(tiny_model, "none", threads=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut) -> Path:
    """Two people who cross, one of whom leaves and comes back as somebody new; uneven times, and sound."""
    one = line(Place(40, 60), Place(180, 60), COUNT)
    other = [*line(Place(180, 80), Place(40, 80), 24), *[None] * 14, *[Place(40, 70)] * 8]
    heads = [head(astronaut, SIDE), head(astronaut, SIDE, mirrored=True)]
    frames = frames_with(heads, zip(one, other, strict=True), width=WIDTH, height=HEIGHT)
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, TIMES, sound="aac")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Commits after every ten frames or so."""
    monkeypatch.setattr(command, "COMMIT_FRAMES", 10)


def nowhere(text: str) -> None:
    raise AssertionError(f"rows are to go to a file, not out: {text}")


class StopAt:
    """Interrupts a run after a frame, as Ctrl-C does."""

    def __init__(self, index: int) -> None:
        self.index, self.seen = index, 0

    def __call__(self, source) -> None:
        if self.seen == self.index:
            raise KeyboardInterrupt
        self.seen += 1


def rows_of(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def video(path: Path) -> tuple[list[float], list[np.ndarray], float]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return (
            [float(frame.pts * frame.time_base) for frame in frames],
            [frame.to_ndarray(format="rgb24") for frame in frames],
            container.duration / av.time_base,
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, clip, recognizer) -> Path:
    """A folder with the outputs of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    command.COMMIT_FRAMES = 10
    options = VideoOptions("json", folder / "rows.jsonl", folder / "copy.mp4", folder)
    outcome = run_video(clip, recognizer, options, write=nowhere)
    assert (outcome.frames, outcome.problem, outcome.notes, outcome.interrupted) == (COUNT, None, [], False)
    return folder


def test_everything_that_was_wished_for_is_there_and_nothing_else(whole, clip):
    people = {row["track"] for row in rows_of(whole / "rows.jsonl")}
    assert people == {1, 2, 3}
    assert names(whole) == ["copy.mp4", *(f"person-{track}.png" for track in people), "rows.jsonl"]
    times, _, duration = video(whole / "copy.mp4")
    assert times == pytest.approx(TIMES, abs=1e-6)
    assert duration == pytest.approx(video(clip)[2], abs=0.04)
    assert sound(whole / "copy.mp4") == sound(clip)


def test_the_copy_shows_boxes_where_the_rows_say(whole, clip):
    rows = rows_of(whole / "rows.jsonl")
    _, plain, _ = video(clip)
    _, drawn, _ = video(whole / "copy.mp4")
    for row in rows[::7]:
        box, changed = (
            row["box"],
            np.abs(drawn[row["frame"]].astype(int) - plain[row["frame"]]).max(axis=2) > 60,
        )
        left, top = round(box["x"]), round(box["y"] + box["height"] / 2)
        assert changed[top - 3 : top + 3, max(0, left - 2) : left + 4].any()
    bare = np.abs(drawn[-1].astype(int) - plain[-1]).max(axis=2)
    assert np.median(bare) < 6


@pytest.mark.parametrize("stops", [[3], [27, 40], [11, 23, 24, 45]])
def test_an_interrupted_run_that_is_resumed_equals_one_that_was_not(tmp_path, clip, recognizer, whole, stops):
    output, copy = tmp_path / "rows.jsonl", tmp_path / "copy.mp4"
    for number, index in enumerate(stops):
        options = VideoOptions("json", output, copy, resume=number > 0)
        outcome = run_video(clip, recognizer, options, write=nowhere, progress=StopAt(index))
        assert outcome.interrupted
        assert names(tmp_path) == ["rows.jsonl.partial"]
        for text in (tmp_path / "rows.jsonl.partial" / "rows.jsonl").read_text().splitlines():
            json.loads(text)
    outcome = run_video(clip, recognizer, VideoOptions("json", output, copy, resume=True), write=nowhere)
    assert outcome.frames == COUNT
    assert outcome.worked <= COUNT - stops[-1] + 10 + 3
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()
    one, other = video(whole / "copy.mp4"), video(copy)
    assert one[0] == other[0]
    assert all((a == b).all() for a, b in zip(one[1], other[1], strict=True))
    assert names(tmp_path) == ["copy.mp4", "rows.jsonl"]


@pytest.mark.parametrize("stop", range(9, 34, 2))
def test_cuts_do_not_depend_on_where_a_run_was_interrupted(tmp_path, astronaut, recognizer, stop):
    frames = frames_with([head(astronaut, SIDE)], [[Place(90, 60)]] * 11, width=WIDTH, height=HEIGHT)
    shots = [frames, [255 - np.roll(frame, 60, axis=1) for frame in frames], frames]
    clip = write_clip(tmp_path / "clip.mp4", [frame for shot in shots for frame in shot])
    run_video(clip, recognizer, VideoOptions("json", tmp_path / "whole.jsonl"), write=nowhere)
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output), write=nowhere, progress=StopAt(stop))
    run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    tracks = {row["frame"]: row["track"] for row in rows_of(output)}
    assert tracks[10] != tracks[22]


def ended_at(number: int, monkeypatch) -> None:
    """Lets a process end in the middle of removing a folder, as a power cut does, after so many files."""

    def rmtree(folder: Path) -> None:
        for path in sorted(folder.iterdir())[:number]:
            path.unlink()
        raise SystemExit

    monkeypatch.setattr("crossfer.video.unfinished.shutil.rmtree", rmtree)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("outputs", [("rows.jsonl", None), ("rows.jsonl", "copy.mp4"), (None, "copy.mp4")])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_run_that_ended_while_it_removed_its_folder_is_complete(
    tmp_path, clip, recognizer, monkeypatch, outputs, number, resume
):
    rows, copy = (name and tmp_path / name for name in outputs)
    with monkeypatch.context() as patch:
        ended_at(number, patch)
        with pytest.raises(SystemExit):
            run_video(clip, recognizer, VideoOptions(rows and "json", rows, copy), write=nowhere)
    before = {name: (tmp_path / name).read_bytes() for name in outputs if name}
    assert len(names(tmp_path)) == len(before) + 1
    outcome = run_video(
        clip, recognizer, VideoOptions(rows and "json", rows, copy, resume=resume), write=nowhere
    )
    assert (outcome is None) == resume
    assert names(tmp_path) == sorted(before)
    assert not resume or {name: (tmp_path / name).read_bytes() for name in before} == before


def test_what_was_written_after_the_last_commit_is_cut_off_again(tmp_path, clip, recognizer, whole):
    """As after a power cut: half a row, half a look, and a segment that nobody finished."""
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output), write=nowhere, progress=StopAt(37))
    partial = tmp_path / "rows.jsonl.partial"
    for name in ("rows.jsonl", "looks.jsonl"):
        with (partial / name).open("a") as file:
            file.write('{"frame": 38, "ti')
    (partial / "segment-00004.mp4").write_bytes(b"half")
    run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()


def test_the_people_of_the_first_part_are_remembered(tmp_path, clip, recognizer):
    output = tmp_path / "rows.csv"
    run_video(clip, recognizer, VideoOptions("csv", output), write=nowhere, progress=StopAt(37))
    resumed = run_video(clip, recognizer, VideoOptions("csv", output, resume=True), write=nowhere)
    fresh = run_video(clip, recognizer, VideoOptions("csv", tmp_path / "b.csv"), write=nowhere)
    assert resumed.people == fresh.people
    assert output.read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_an_interrupted_run_is_not_thrown_away_unasked(tmp_path, clip, recognizer):
    options = VideoOptions("json", tmp_path / "rows.jsonl")
    run_video(clip, recognizer, options, write=nowhere, progress=StopAt(37))
    with pytest.raises(ValueError, match="an interrupted run lies here; go on with it with --resume"):
        run_video(clip, recognizer, options, write=nowhere)
    assert (tmp_path / "rows.jsonl.partial" / "state.json").is_file()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, clip, recognizer):
    theirs = tmp_path / "rows.jsonl.partial" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    with pytest.raises(ValueError, match="found one that holds others; move it away"):
        run_video(clip, recognizer, VideoOptions("json", tmp_path / "rows.jsonl"), write=nowhere)
    assert theirs.read_text() == "precious"


def test_a_run_is_resumed_only_with_the_same_video_model_and_settings(tmp_path, clip, recognizer):
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output), write=nowhere, progress=StopAt(37))
    other = shutil.copy(clip, tmp_path / "other.mp4")
    with open(other, "ab") as file:
        file.write(b"\0" * 8)
    for source, options, message in (
        (
            clip,
            VideoOptions("json", output, resume=True, settings=VideoSettings(detect_every=5)),
            "detect_every",
        ),
        (clip, VideoOptions("json", output, resume=True, settings=VideoSettings(every=0.3)), "every"),
        (clip, VideoOptions("json", output, resume=True, annotate=tmp_path / "c.mp4"), "annotate"),
        (other, VideoOptions("json", output, resume=True), "video"),
    ):
        with pytest.raises(ValueError, match=f"the interrupted run had another {message}"):
            run_video(source, recognizer, options, write=nowhere)
    seeing = Recognizer(recognizer.path or "default", threads=1)
    with pytest.raises(ValueError, match=r"had another detector \(none, now centerface\)"):
        run_video(clip, seeing, VideoOptions("json", output, resume=True), write=nowhere)
    for damaged in ("{", "[]", "{}", '{"request": []}', '{"request": null}'):
        (tmp_path / "rows.jsonl.partial" / "state.json").write_text(damaged)
        with pytest.raises(ValueError, match="found damage"):
            run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)


def test_damage_to_what_an_interrupted_run_left_is_one_sentence(tmp_path, clip, recognizer, whole):
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output), write=nowhere, progress=StopAt(37))
    folder = tmp_path / "rows.jsonl.partial"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = json.loads(kept["state.json"])
    damages = [{"state.json": json.dumps({k: v for k, v in state.items() if k != key})} for key in state]
    damages += [{"state.json": json.dumps({**state, key: "x"})} for key in state]
    for name in ("rows.jsonl", "looks.jsonl"):
        lines = kept[name].decode()
        damages += [{name: lines[:-9]}, {name: "x" + lines[1:]}, {name: "[]" + " " * (len(lines) - 3) + "\n"}]
    for damage in damages:
        for name, text in damage.items():
            (folder / name).write_text(text)
        with pytest.raises(ValueError, match=r"rows\.jsonl\.partial: .*(damage|had another request)"):
            run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
        for name, before in kept.items():
            (folder / name).write_bytes(before)
    run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()


def test_an_interruption_while_the_done_part_is_passed_over_loses_nothing(tmp_path, clip, recognizer, whole):
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output), write=nowhere, progress=StopAt(37))
    options = VideoOptions("json", output, resume=True)
    outcome = run_video(clip, recognizer, options, write=nowhere, progress=StopAt(5))
    assert outcome.interrupted
    assert outcome.seconds > 1.0
    run_video(clip, recognizer, options, write=nowhere)
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()


def resumed(tmp_path: Path, clip: Path, recognizer: Recognizer):
    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4", resume=True)
    return run_video(clip, recognizer, options, write=nowhere)


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (0, r"clip\.mp4: reading stopped after 0\.00 s \(Input/output error\); what was done before is kept"),
        (
            8,
            r"at least 1\.98 s, as far as the interrupted run went, but reading ended after 0\.\d+ s; go on",
        ),
        (
            42,
            r"reading stopped after 2\.\d\d s \(Input/output error\); go on with --resume, which takes this",
        ),
    ],
)
def test_a_disk_that_fails_while_a_run_is_resumed_loses_nothing(
    tmp_path, clip, recognizer, whole, packet, message
):
    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4")
    run_video(clip, recognizer, options, write=nowhere, progress=StopAt(37))
    for _ in range(2 if packet < 40 else 1):
        with failing_at_packet(packet), pytest.raises(VideoError, match=message):
            resumed(tmp_path, clip, recognizer)
        assert names(tmp_path) == ["rows.jsonl.partial"]
    resumed(tmp_path, clip, recognizer)
    assert (tmp_path / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
    assert video(tmp_path / "copy.mp4")[0] == video(whole / "copy.mp4")[0]


@pytest.mark.parametrize("packet", [1, 6, 24])
def test_where_a_disk_fails_twice_what_is_there_is_taken_for_all(tmp_path, clip, recognizer, packet):
    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4")
    with failing_at_packet(packet):
        with pytest.raises(VideoError, match="go on with --resume"):
            run_video(clip, recognizer, options, write=nowhere)
        outcome = resumed(tmp_path, clip, recognizer)
    assert outcome.frames == len(video(tmp_path / "copy.mp4")[0]) == packet
    assert outcome.problem == f"{clip}: reading stopped after {outcome.seconds:.2f} s (Input/output error)"
    assert names(tmp_path) == ["copy.mp4", "rows.jsonl"]


def test_a_disk_that_fails_earlier_than_before_may_be_read_again(tmp_path, clip, recognizer, whole):
    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4")
    with failing_at_packet(42), pytest.raises(VideoError, match="go on with --resume"):
        run_video(clip, recognizer, options, write=nowhere)
    with failing_at_packet(41), pytest.raises(VideoError, match="go on with --resume"):
        resumed(tmp_path, clip, recognizer)
    resumed(tmp_path, clip, recognizer)
    assert (tmp_path / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()


@pytest.mark.parametrize("packet", [13, 16])
def test_a_disk_that_fails_twice_just_after_what_was_done_ends_the_video_there(tmp_path, recognizer, packet):
    """The decoder still holds what would be new."""
    slow = {"preset": "medium", "bf": "3"}
    clip = write_clip(tmp_path / "clip.mp4", [background(96, 64)] * 60, options=slow)
    options = VideoOptions("json", tmp_path / "rows.jsonl")
    run_video(clip, recognizer, options, write=nowhere, progress=StopAt(24))
    with failing_at_packet(packet):
        with pytest.raises(VideoError, match="go on with --resume"):
            run_video(clip, recognizer, replace(options, resume=True), write=nowhere)
        outcome = run_video(clip, recognizer, replace(options, resume=True), write=nowhere)
    assert outcome.frames == packet


def test_a_disk_that_fails_between_two_looks_changes_no_row(tmp_path, recognizer, astronaut):
    """Changes of the picture count once, and each against the frame before, where somebody's frames go on."""
    pan = [np.sin((np.arange(320) + 4 * number) * np.pi / 100) for number in range(64)]
    frames = [np.broadcast_to((120 + 80 * one)[None, :, None], (192, 320, 3)).astype(np.uint8) for one in pan]
    for frame in frames:
        paste(frame, head(astronaut, 80), Place(160, 96))
    clip, settings = write_clip(tmp_path / "clip.mp4", frames), VideoSettings(detect_every=30)
    undisturbed = VideoOptions("json", tmp_path / "whole.jsonl", settings=settings)
    run_video(clip, recognizer, undisturbed, write=nowhere)
    options = replace(undisturbed, output=tmp_path / "rows.jsonl")
    with failing_at_packet(52), pytest.raises(VideoError, match="go on with --resume"):
        run_video(clip, recognizer, options, write=nowhere)
    run_video(clip, recognizer, replace(options, resume=True), write=nowhere)
    assert (tmp_path / "rows.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_rows_that_left_are_completed_where_a_disk_fails(clip, recognizer):
    with failing_at_packet(24):
        outcome = run_video(clip, recognizer, VideoOptions("json"), write=lambda text: None)
    assert outcome.frames == 24
    assert "reading stopped after 0.97 s" in str(outcome.problem)


def test_a_later_frame_that_is_too_large_does_not_cost_what_was_done(tmp_path, clip, recognizer, monkeypatch):
    def shrink(source) -> None:
        if source.end > 1.0:
            monkeypatch.setattr(source_module, "MAX_PIXELS", 1)

    options = VideoOptions("json", tmp_path / "rows.jsonl")
    with pytest.raises(VideoError, match=r"scale .* first; what was done before is kept in .*\.partial$"):
        run_video(clip, recognizer, options, write=nowhere, progress=shrink)
    assert len(rows_of(tmp_path / "rows.jsonl.partial" / "rows.jsonl")) > 10


def test_with_nothing_to_resume_it_starts_at_the_beginning(tmp_path, clip, recognizer, whole):
    output = tmp_path / "rows.jsonl"
    run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()


@pytest.mark.parametrize("wishes", [["output"], ["annotate", "timeline"], ["timeline"]])
def test_a_complete_run_is_left_as_it_is(tmp_path, clip, recognizer, wishes):
    places = {"output": tmp_path / "r.jsonl", "annotate": tmp_path / "c.mp4", "timeline": tmp_path / "t"}
    wished = {wish: places[wish] for wish in wishes}
    form = "json" if "output" in wished else None
    assert run_video(clip, recognizer, VideoOptions(form, **wished), write=nowhere) is not None
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    for seconds in (None, 0.8):
        options = VideoOptions(form, **wished, resume=True, seconds=seconds)
        assert run_video(clip, recognizer, options, write=nowhere) is None
    more = VideoOptions(form, **(wished | {"annotate": tmp_path / "more.mkv"}), resume=True)
    with pytest.raises(ValueError, match=r"more\.mkv; leave out --resume to make them anew"):
        run_video(clip, recognizer, more, write=nowhere)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_an_empty_folder_of_timelines_is_not_complete_where_somebody_was_seen(
    tmp_path, clip, recognizer, form
):
    plain = write_clip(tmp_path / "plain.mp4", [background(96, 64)] * 5)
    (tmp_path / "t").mkdir()
    for video, complete in ((plain, True), (clip, False)):
        run_video(video, recognizer, VideoOptions(form, tmp_path / "r", seconds=0.2), write=nowhere)
        options = VideoOptions(form, tmp_path / "r", timeline=tmp_path / "t", resume=True, seconds=0.2)
        if complete:
            assert run_video(video, recognizer, options, write=nowhere) is None
        else:
            with pytest.raises(ValueError, match=r"found .*r complete and no timeline in .*t; leave out"):
                run_video(video, recognizer, options, write=nowhere)


def test_rows_leave_as_they_come_where_no_file_is_given(clip, recognizer, whole):
    written: list[str] = []
    run_video(clip, recognizer, VideoOptions("json"), write=written.append)
    assert "".join(written).encode() == (whole / "rows.jsonl").read_bytes()


def test_rows_that_left_before_ctrl_c_cannot_be_completed(tmp_path, clip, recognizer):
    options = VideoOptions("json", annotate=tmp_path / "copy.mp4")
    with pytest.raises(KeyboardInterrupt):
        run_video(clip, recognizer, options, write=lambda text: None, progress=StopAt(20))
    assert names(tmp_path) == []


def still(count: int) -> list[np.ndarray]:
    return [background(128, 96)] * count


def test_ctrl_c_ends_a_silent_stream_at_once_and_completes_its_files(tmp_path, recognizer):
    interrupted: list[float] = []

    def interrupt() -> None:
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(2.0, interrupt)

    def progress(source) -> None:
        if timer.ident is None:
            timer.start()

    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4")
    with rtsp_server(still(60), rate=50, silent=True) as address:
        outcome = run_video(address, recognizer, options, write=nowhere, progress=progress)
        assert time.monotonic() - interrupted[0] < 7  # reading gives up 10 seconds after the last frame
    assert (outcome.interrupted, outcome.problem) == (False, None)
    assert outcome.frames > 0
    assert names(tmp_path) == ["copy.mp4", "rows.jsonl"]


def test_what_was_read_of_a_stream_is_kept_but_cannot_be_gone_on_with(tmp_path, recognizer):
    options = VideoOptions("json", tmp_path / "rows.jsonl")
    with rtsp_server(still(20)) as address:
        outcome = run_video(address, recognizer, options, write=nowhere, progress=StopAt(5))
    assert outcome.interrupted
    folder = tmp_path / "rows.jsonl.partial"
    assert outcome.notes == [f"only a file can be gone on with; what was read of {address} is in {folder}"]
    assert (folder / "rows.jsonl").exists()


def test_rows_of_a_stream_that_are_out_already_are_said_to_be_there(tmp_path, recognizer, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfer.video.command.join", stopped)
    options = VideoOptions("json", tmp_path / "rows.jsonl", tmp_path / "copy.mp4")
    with rtsp_server(still(20)) as address:
        outcome = run_video(address, recognizer, options, write=nowhere)
    assert outcome.interrupted
    assert outcome.notes[0].endswith(f"what was read of {address} is in {tmp_path / 'rows.jsonl'}")
    assert (tmp_path / "rows.jsonl").exists()


def test_a_recognizer_with_sets_and_abstention_gives_their_columns(tmp_path, clip):
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=1.0, set_threshold=0.0))
    output = tmp_path / "rows.csv"
    sure = Recognizer(model, "none", threads=1, coverage=0.9, abstain=True)
    run_video(clip, sure, VideoOptions("csv", output, seconds=0.2), write=nowhere)
    header, row, *_ = (line.split(",") for line in output.read_text().splitlines())
    cells = dict(zip(header, row, strict=True))
    assert (cells["answer"], cells["raw_answer"]) == ("uncertain", "uncertain")
    assert len(cells["raw_prediction_set"].split("|")) == len(sure.meta.labels)


SPARSE = [0, 5, 10, 15, 20, 25, 30, 31, 33, 38, 43]  # the first of each fifth of a second


def sparse(output: Path, **options: object) -> VideoOptions:
    return VideoOptions("json", output, settings=VideoSettings(every=0.2), **options)  # pyright: ignore


@pytest.fixture(scope="module")
def few_rows(tmp_path_factory, clip, recognizer) -> bytes:
    """Of a run of one frame in a fifth of a second that nobody interrupted."""
    output = tmp_path_factory.mktemp("sparse") / "rows.jsonl"
    outcome = run_video(clip, recognizer, sparse(output, timeline=output.parent), write=nowhere)
    assert (outcome.frames, outcome.worked, outcome.notes) == (len(SPARSE), len(SPARSE), [])
    assert outcome.seconds == pytest.approx(TIMES[-1] + 0.04)
    assert names(output.parent)[:2] == ["person-1.png", "person-2.png"]
    return output.read_bytes()


def test_one_frame_in_so_many_seconds_has_rows(few_rows, whole):
    rows = [json.loads(text) for text in few_rows.splitlines()]
    assert sorted({row["frame"] for row in rows}) == SPARSE
    looked = {row["frame"] for row in rows if row["detection_score"] is not None}
    assert looked == set(SPARSE) - {31}, "which is less than three frames after the look before"
    full = {(row["frame"], row["time"]) for row in rows_of(whole / "rows.jsonl")}
    assert {(row["frame"], row["time"]) for row in rows} <= full


@pytest.mark.parametrize("stops", [[3], [27, 40], [11, 23, 24, 45]])
def test_a_run_of_few_frames_can_be_interrupted_too(tmp_path, clip, recognizer, few_rows, stops):
    output = tmp_path / "rows.jsonl"
    for number, index in enumerate(stops):
        options = sparse(output, resume=number > 0)
        assert run_video(clip, recognizer, options, write=nowhere, progress=StopAt(index)).interrupted
    outcome = run_video(clip, recognizer, sparse(output, resume=True), write=nowhere)
    assert output.read_bytes() == few_rows
    assert outcome.frames == len(SPARSE)
    assert outcome.worked == len(SPARSE) if stops == [3] else 0 < outcome.worked < len(SPARSE)


@pytest.mark.parametrize("packet", [6, 24, 28])
def test_a_run_of_few_frames_takes_where_a_disk_fails_twice_for_the_end(tmp_path, clip, recognizer, packet):
    output = tmp_path / "rows.jsonl"
    with failing_at_packet(packet):
        with pytest.raises(VideoError, match="go on with --resume"):
            run_video(clip, recognizer, sparse(output), write=nowhere)
        outcome = run_video(clip, recognizer, sparse(output, resume=True), write=nowhere)
    assert outcome.frames == sum(number < packet for number in SPARSE)
    assert outcome.problem == f"{clip}: reading stopped after {outcome.seconds:.2f} s (Input/output error)"


def test_seconds_end_a_run_of_few_frames_where_they_end(tmp_path, clip, recognizer):
    passed = []
    options = replace(sparse(tmp_path / "r.jsonl", seconds=0.5), settings=VideoSettings(every=2.0))
    outcome = run_video(
        clip, recognizer, options, write=nowhere, progress=lambda source: passed.append(source.end)
    )
    assert (outcome.frames, outcome.seconds) == (1, 0.5)
    assert max(passed) <= 0.52 + 1e-6


class Slow:
    """A detector that takes its time, and sees nobody."""

    def detect(self, image):
        time.sleep(0.5)
        return []


def test_what_comes_after_the_end_pushes_out_no_live_frame_that_waits(tmp_path, tiny_model):
    settings = VideoSettings(detect_every=1, every=0.1)
    options = VideoOptions("json", tmp_path / "rows.jsonl", seconds=0.5, settings=settings)
    with rtsp_server(still(100), rate=50) as address:
        outcome = run_video(address, Recognizer(tiny_model, Slow(), threads=1), options, write=nowhere)
    assert (outcome.frames, outcome.notes) == (5, ["no face found in 5 frames"])


def test_seconds_end_video_and_sound_there(tmp_path, clip, recognizer):
    copy = tmp_path / "copy.mp4"
    outcome = run_video(clip, recognizer, VideoOptions(annotate=copy, seconds=1.0), write=nowhere)
    assert outcome.frames == 25
    assert video(copy)[2] == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(
    ("name", "options"), [("a.mp4", {}), ("a.mkv", {}), ("no-length.mkv", {"live": "1"})]
)
@pytest.mark.parametrize(("seconds", "end"), [(None, 3.0), (2.0, 2.0), (0.4, 0.4)])
def test_sound_that_outlasts_the_pictures_goes_on(tmp_path, recognizer, name, options, seconds, end):
    frames = [background(96, 64)] * 25
    path = write_clip(tmp_path / name, frames, sound="aac", sound_end=3.0, container_options=options)
    copy = tmp_path / f"copy-{name}"
    outcome = run_video(path, recognizer, VideoOptions(annotate=copy, seconds=seconds), write=nowhere)
    assert outcome.frames == min(25, round(end * 25))
    assert video(copy)[2] == pytest.approx(end, abs=0.06)
    if seconds is None:
        assert sound(copy) == sound(path)


def test_sound_ends_with_the_pictures_of_a_damaged_file(tmp_path, recognizer, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", [background(96, 64)] * 25, sound="aac", sound_end=3.0)
    monkeypatch.setattr(VideoSource, "_missing", lambda _: "damaged")
    run_video(path, recognizer, VideoOptions(annotate=tmp_path / "c.mp4"), write=nowhere)
    assert video(tmp_path / "c.mp4")[2] == pytest.approx(1.0, abs=0.06)


def test_a_file_that_is_cut_off_is_gone_through_as_far_as_it_goes(tmp_path, astronaut, recognizer):
    frames = frames_with(
        [head(astronaut, 80)], [[place] for place in line(Place(50, 85), Place(270, 85), 50)]
    )
    whole = write_clip(tmp_path / "a.mp4", frames, sound="aac", container_options={"movflags": "faststart"})
    broken = cut(whole, tmp_path / "b.mp4", 0.5)
    folder = tmp_path / "out"
    folder.mkdir()
    outcome = run_video(
        broken, recognizer, VideoOptions("json", folder / "r.jsonl", folder / "c.mp4"), write=nowhere
    )
    assert "cut off" in str(outcome.problem)
    assert names(folder) == ["c.mp4", "r.jsonl"]
    times, _, duration = video(folder / "c.mp4")
    assert len(times) == outcome.frames
    assert 8 < outcome.frames < 35
    assert duration == pytest.approx(outcome.seconds, abs=0.04)


def test_a_clip_without_faces_is_no_error(tmp_path, recognizer):
    path = write_clip(tmp_path / "a.mp4", [background(96, 64)] * 30)
    folder = tmp_path / "out"
    folder.mkdir()
    options = VideoOptions("csv", folder / "r.csv", folder / "c.mp4", folder)
    outcome = run_video(path, recognizer, options, write=nowhere)
    assert outcome.notes == ["no face found in 30 frames"]
    assert (folder / "r.csv").read_text().count("\n") == 1
    assert len(video(folder / "c.mp4")[0]) == 30
    assert names(folder) == ["c.mp4", "r.csv"]


def test_a_video_that_cannot_be_used_leaves_nothing_behind(tmp_path, recognizer):
    path = tmp_path / "empty.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420\n")
    with pytest.raises(VideoError, match="found no frame"):
        run_video(path, recognizer, VideoOptions("json", tmp_path / "r.jsonl"), write=nowhere)
    assert names(tmp_path) == ["empty.y4m"]


def test_a_second_run_with_the_same_output_is_refused(tmp_path, clip, recognizer):
    output, link = tmp_path / "rows.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(output.name)
    options = [
        VideoOptions("json", path, resume=resume) for path in (output, link) for resume in (False, True)
    ]
    refused = []

    def again(source) -> None:
        if source.end in (pytest.approx(0.04), pytest.approx(0.8)):  # before the first commit, and after it
            for wish in options:
                with pytest.raises(
                    ValueError, match="another run is writing there now; wait for it"
                ) as error:
                    run_video(clip, recognizer, wish, write=nowhere)
                refused.append(str(error.value))

    run_video(clip, recognizer, VideoOptions("json", output, seconds=0.8), write=nowhere, progress=again)
    assert [str(output) in text for text in refused] == [True] * 8
    assert {row["frame"] for row in rows_of(output)} == set(range(20))
    assert names(tmp_path) == ["link.jsonl", "rows.jsonl"]


def test_a_link_stays_and_leads_to_the_rows_and_the_copy(tmp_path, clip, recognizer):
    links = [tmp_path / "rows.csv", tmp_path / "copy.mp4"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for link in links:
        link.symlink_to(elsewhere / link.name)
    run_video(clip, recognizer, VideoOptions("csv", *links, seconds=0.2), write=nowhere)
    assert all(link.is_symlink() for link in links)
    assert names(elsewhere) == ["copy.mp4", "rows.csv"]
    assert names(tmp_path) == ["copy.mp4", "elsewhere", "rows.csv"]


@pytest.mark.parametrize("annotate", [False, True])
def test_a_run_that_ends_before_the_first_frame_is_an_error_and_leaves_nothing(
    tmp_path, clip, recognizer, annotate
):
    copy = tmp_path / "c.mp4" if annotate else None
    options = VideoOptions("json", tmp_path / "r.jsonl", copy, tmp_path / "t", seconds=0.0)
    with pytest.raises(
        VideoError, match=r"clip.mp4: expected a frame before --seconds .* found none; let it"
    ):
        run_video(clip, recognizer, options, write=nowhere)
    assert names(tmp_path) == []


@pytest.mark.parametrize("option", ["output", "annotate", "timeline"])
@pytest.mark.parametrize("place", ["/proc/crossfer.mp4", "/proc/version/crossfer.mp4", "loop.mp4", "a" * 252])
def test_what_cannot_be_written_is_refused_before_the_first_frame(
    tmp_path, clip, recognizer, option, place, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("loop.mp4").symlink_to("loop.mp4")
    monkeypatch.setattr(command, "VideoSource", None)  # which is not to be opened
    options = VideoOptions("json", **{"output": Path("r.jsonl"), option: Path(place).with_suffix(".mp4")})
    with pytest.raises(ValueError, match=f"^--{option} .*: cannot be written .*; choose another place$"):
        run_video(clip, recognizer, options, write=nowhere)
    assert names(tmp_path) == ["loop.mp4"]


def test_a_pipe_is_not_replaced(tmp_path, clip, recognizer):
    os.mkfifo(tmp_path / "r.jsonl")
    with pytest.raises(ValueError, match=r"--output .*: expected a file to write, found a folder, device"):
        run_video(clip, recognizer, VideoOptions("json", tmp_path / "r.jsonl"), write=nowhere)
    assert (tmp_path / "r.jsonl").is_fifo()


@pytest.mark.parametrize("form", ["json", "csv"])
def test_rows_that_replace_others_keep_their_mode_and_are_on_the_disk(
    tmp_path, clip, recognizer, monkeypatch, form
):
    output, safe = tmp_path / "r", []
    output.touch()
    output.chmod(0o600)
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (safe.append(os.fstat(file).st_ino), fsync(file)))
    run_video(clip, recognizer, VideoOptions(form, output, seconds=0.2), write=nowhere)
    assert output.stat().st_mode & 0o777 == 0o600
    assert output.stat().st_ino in safe
    assert names(tmp_path) == ["r"]


def test_the_folder_of_the_timelines_is_not_left_behind_empty(tmp_path, clip, recognizer):
    options = VideoOptions("json", tmp_path / "r.jsonl", timeline=tmp_path / "new" / "t", seconds=0.6)

    def fail(source) -> None:
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        run_video(clip, recognizer, options, write=nowhere, progress=fail)
    assert names(tmp_path) == ["r.jsonl.partial"]
    assert run_video(clip, recognizer, options, write=nowhere, progress=StopAt(3)).interrupted
    assert names(tmp_path) == ["r.jsonl.partial"]


def test_an_interrupted_run_may_lie_in_the_new_folder_of_the_timelines(tmp_path, clip, recognizer):
    options = VideoOptions(timeline=tmp_path / "t", seconds=0.6)
    assert run_video(clip, recognizer, options, write=nowhere, progress=StopAt(3)).interrupted
    assert names(tmp_path / "t") == ["timeline.partial"]


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_nothing(tmp_path, clip, recognizer, whole):
    output = tmp_path / "r.jsonl"
    with files_of_at_most(20_000), pytest.raises(OSError, match="too large") as error:
        run_video(clip, recognizer, VideoOptions("json", output), write=nowhere)
    assert error.value.filename == str(tmp_path / "r.jsonl.partial" / "rows.jsonl")
    outcome = run_video(clip, recognizer, VideoOptions("json", output, resume=True), write=nowhere)
    assert outcome.worked < COUNT
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()


def test_a_disk_too_full_for_any_of_the_files_is_an_error_that_names_one(tmp_path, clip, recognizer):
    with files_of_at_most(100), pytest.raises(OSError, match="too large") as error:
        run_video(clip, recognizer, VideoOptions("json", tmp_path / "r.jsonl", seconds=0.2), write=nowhere)
    assert Path(error.value.filename).parent == tmp_path / "r.jsonl.partial"


def test_a_copy_that_cannot_be_completed_leaves_the_rows_and_the_work_to_be_resumed(
    tmp_path, clip, recognizer, whole
):
    folder = tmp_path / "gone"
    folder.mkdir()
    output, copy = tmp_path / "r.jsonl", folder / "c.mp4"

    def remove(source):
        if source.end > 1.5 and folder.exists():
            folder.rmdir()

    with pytest.raises(OSError, match="cannot be written"):
        run_video(clip, recognizer, VideoOptions("json", output, copy), write=nowhere, progress=remove)
    assert names(tmp_path) == ["r.jsonl", "r.jsonl.partial"]
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()
    folder.mkdir()
    run_video(clip, recognizer, VideoOptions("json", output, copy, resume=True), write=nowhere)
    assert output.read_bytes() == (whole / "rows.jsonl").read_bytes()
    assert len(video(copy)[0]) == COUNT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "clip.mp4"}, "--output .*clip.mp4: is the video itself"),
        ({"annotate": "clip.mp4"}, "--annotate .*clip.mp4: is the video itself"),
        ({"output": "a.mp4", "annotate": "a.mp4"}, "is the file of --output too"),
        ({"annotate": "a.gif"}, "expected a name that ends in .mp4"),
        ({"resume": True}, "--resume: rows that went to standard output"),
    ],
)
def test_outputs_that_get_in_each_others_way(clip, recognizer, options, message):
    given = {key: clip.parent / value if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(ValueError, match=message):
        run_video(clip, recognizer, VideoOptions("json", **given), write=nowhere)
    assert names(clip.parent) == ["clip.mp4"]


def memory() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class MemoryFrom:
    """Memory at a frame and at the last so far."""

    def __init__(self, index: int) -> None:
        self.left, self.first, self.last = index, 0.0, 0.0

    def __call__(self, source) -> None:
        self.last = memory()
        self.left -= 1
        if self.left == 0:
            self.first = self.last


def test_memory_stays_constant_with_every_output(tmp_path, astronaut, recognizer):
    frame = frames_with([head(astronaut, 64)], [[Place(64, 48)]], width=128, height=96)[0]
    path = write_clip(tmp_path / "long.mp4", [frame] * 500, sound="aac")
    seen = MemoryFrom(200)
    options = VideoOptions(
        "parquet",
        tmp_path / "r.parquet",
        tmp_path / "c.mp4",
        tmp_path,
        settings=VideoSettings(detect_every=10),
    )
    outcome = run_video(path, recognizer, options, write=nowhere, progress=seen)
    assert outcome.frames == 500
    assert seen.last - seen.first < 15

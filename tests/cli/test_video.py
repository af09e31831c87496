import csv
import dataclasses
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from crossfer import cli
from crossfer.cli import errors
from crossfer.cli.video import _progress
from crossfer.video.source import VideoSource
from support.bundles import calibrated_bundle, calibration, tiny_graph, tiny_meta, write_bundle
from support.clips import Place, background, frames_with, head, line, write_clip
from support.command import run_main
from support.rtsp import rtsp_server
from support.system_fonts import system_with

COUNT = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut) -> Path:
    """One person who walks through."""
    path = line(Place(60, 60), Place(160, 70), COUNT)
    frames = frames_with([head(astronaut, 64)], [[place] for place in path], width=224, height=128)
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, sound="aac")


@pytest.fixture
def video(tiny_model):
    """Runs ``crossfer video`` in this process with the tiny model."""

    def run(*arguments: object):
        words = ["video", "--model", str(tiny_model), *map(str, arguments)]
        return CliRunner().invoke(cli.app, words)

    return run


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_options_it_prints_a_table_of_the_people(video, clip):
    result = video(clip)
    assert result.exit_code == 0, result.output
    heading, columns, person = result.stdout.splitlines()
    assert heading.startswith(f"{clip}  30 frames, 0:01.2, 1 person")
    assert columns.split()[:4] == ["person", "from", "to", "frames"]
    assert person.split()[:4] == ["1", "0:00.0", "0:01.2", "30"]
    assert result.stderr == ""


def test_every_form_of_rows_says_the_same(video, clip, tmp_path):
    from pyarrow.parquet import read_table

    printed = lines(video(clip, "--format", "json").stdout)
    assert [row["frame"] for row in printed] == list(range(COUNT))
    table = list(csv.DictReader(io.StringIO(video(clip, "--format", "csv").stdout)))
    for name in ("r.jsonl", "r.csv", "r.parquet", "r.data"):
        given = ("--format", "json") if name == "r.data" else ()
        assert video(clip, "-o", tmp_path / name, *given).stdout == ""
    assert lines((tmp_path / "r.jsonl").read_text()) == lines((tmp_path / "r.data").read_text()) == printed
    with (tmp_path / "r.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == table
    parquet = read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["confidence"] for row in parquet] == [row["smoothed"]["confidence"] for row in printed]
    assert names(tmp_path) == ["r.csv", "r.data", "r.jsonl", "r.parquet"]


def test_a_copy_and_timelines(video, clip, tmp_path):
    result = video(clip, "--annotate", tmp_path / "c.mp4", "--timeline", tmp_path / "new" / "t")
    assert result.exit_code == 0, result.output
    assert "1 person" in result.stdout
    assert names(tmp_path) == ["c.mp4", "new"]
    assert names(tmp_path / "new" / "t") == ["person-1.png"]
    copy, timelines = tmp_path / "c.mp4", tmp_path / "new" / "t"
    assert result.stderr == f"crossfer: {copy}: 30 frames; {timelines}: 1 picture\n"


def test_pictures_of_others_are_not_replaced_by_timelines(video, clip, tmp_path, astronaut_path):
    theirs = tmp_path / "person-2.png"
    theirs.write_bytes(astronaut_path.read_bytes())
    result = video(clip, "--timeline", tmp_path)
    assert f"{theirs} is not known as a timeline by crossfer and might be replaced" in str(result.exception)
    assert theirs.read_bytes() == astronaut_path.read_bytes()
    assert names(tmp_path) == ["person-2.png"]


def test_what_was_written_is_told_in_a_line(video, clip, tmp_path):
    rows = tmp_path / "r.csv"
    result = video(clip, "-o", rows)
    assert (result.stdout, result.stderr) == ("", f"crossfer: {rows}: 30 frames, 1 person\n")


def test_letters_that_no_font_here_has_are_told(clip, tmp_path):
    meta = dataclasses.replace(tiny_meta(), label_set="mine", labels=(*"abcdefg", "дрожь"))
    model = write_bundle(tmp_path / "mine.onnx", tiny_graph(meta), meta.to_json())
    words = ["video", "--model", str(model), "--seconds", "0.2", str(clip)]
    with system_with("cmr10.ttf"):
        drawn = CliRunner().invoke(cli.app, [*words, "--annotate", str(tmp_path / "c.mp4")]).stderr
        assert (
            drawn.count(
                "pictures show джорь as boxes: no font was found that has all letters of a name; install"
            )
            == 1
        )
        assert "no font" not in CliRunner().invoke(cli.app, words).stderr


def test_options_reach_the_recognition(video, clip, tmp_path, tiny_model):
    rows = lines(video(clip, "--format", "json", "--detect-every", "7", "--smoothing", "0").stdout)
    looked = [row["frame"] for row in rows if row["detection_score"] is not None]
    assert looked == [0, 7, 14, 21, 28, 29]
    assert all(row["raw"] == row["smoothed"] for row in rows)
    assert lines(video(clip, "--format", "json", "--min-face-score", "0.98").stdout) == []
    assert len(lines(video(clip, "--format", "json", "--seconds", "0.4").stdout)) == 10
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=1.0, set_threshold=0.0))
    asked = ("--coverage", "0.9", "--abstain", "--format", "json", "--seconds", "0.2")
    row, *_ = lines(CliRunner().invoke(cli.app, ["video", "--model", str(model), *asked, str(clip)]).stdout)
    assert (row["raw"]["answer"], row["smoothed"]["answer"]) == ("uncertain", "uncertain")
    assert len(row["raw"]["prediction_set"]) == 8


def test_as_many_threads_as_are_asked_for(video, clip, threads_asked):
    for options in ([], ["--threads", 1]):
        assert video(clip, "--seconds", 0.2, *options).exit_code == 0
    assert threads_asked == [None, 1]


def test_one_frame_in_so_many_seconds(video, clip, tmp_path):
    result = video(clip, "--every", "0.25", "-o", tmp_path / "rows.csv")
    assert result.stderr == f"crossfer: {tmp_path / 'rows.csv'}: 5 frames, 1 person\n"
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert [int(row.partition(",")[0]) for row in rows[1:]] == [0, 7, 13, 19, 25]
    heading, _, person = video(clip, "--every", "0.25").stdout.splitlines()
    assert heading.startswith(f"{clip}  5 frames, 0:01.2, 1 person")
    assert person.split()[:4] == ["1", "0:00.0", "0:01.0", "5"]


def test_no_face_is_told_and_no_error(video, tmp_path):
    path = write_clip(tmp_path / "a.mp4", [background()] * 5)
    result = video(path)
    assert result.exit_code == 0
    assert "5 frames, 0:00.2, no face found" in result.stdout
    assert result.stderr == "crossfer: no face found in 5 frames\n"
    assert video(path, "--every", "9").stderr == "crossfer: no face found in 1 frame\n"


def test_the_name_of_a_video_does_not_rule_the_terminal(video, tmp_path):
    path = write_clip(tmp_path / "a\x1b[2J.mp4", [background()] * 5)
    assert "a\\x1b[2J.mp4  5 frames" in video(path).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.mp4"], "none.mp4: no such file; check the path"),
        (["none.mp4", "--timeline", "new/t"], "none.mp4: no such file; check the path"),
        (["clip.mp4", "--timeline", "clip.mp4/t"], "--timeline clip.mp4/t: cannot be written"),
        (["clip.mp4", "-o", "r.jsonl", "--annotate", "/proc/c.mp4"], "--annotate /proc/c.mp4: cannot be wr"),
        (["99"], "camera 99: no device /dev/video99"),
        (["clip.mp4", "-o", "none/r.csv"], "no folder none; make it first"),
        (["clip.mp4", "--annotate", "none/c.mp4"], "no folder none; make it first"),
        (["clip.mp4", "-o", "r.txt"], "expected a name that ends in .jsonl"),
        (["clip.mp4", "-o", "r.csv", "--format", "text"], "--format text: is for standard output"),
        (["clip.mp4", "--format", "parquet"], "give --output FILE"),
        (["clip.mp4", "-o", "clip.mp4", "--format", "csv"], "is the video itself"),
        (["clip.mp4", "-o", "x.mp4", "--format", "csv", "--annotate", "x.mp4"], "the file of --output too"),
        (["clip.mp4", "-o", "x.csv", "--timeline", "x.csv"], "x.csv is the file of --output too; choose"),
        (
            ["clip.mp4", "--annotate", "x.mp4", "--timeline", "./x.mp4/t"],
            "the file of --annotate too; choose",
        ),
        (["clip.mp4", "--every", "0.0001"], "every: expected 0, or 0.001 to 3600 seconds, got 0.0001"),
        (["clip.mp4", "--annotate", "c.gif"], "expected a name that ends in .mp4"),
        (
            ["clip.mp4", "--annotate", "c.mp4", "--every", "1"],
            "all frames, of which --every passes over most",
        ),
        (["clip.mp4", "--resume", "--format", "json"], "give --output FILE"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(monkeypatch, tmp_path, clip, options, message):
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    code = str(run_main(monkeypatch, "video", *options))
    assert code.startswith("crossfer: ")
    assert message in code
    assert "\n" not in code
    assert names(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize(
    "options",
    [
        ["--detect-every", "0"],
        ["--smoothing", "-1"],
        ["--timeline", __file__],
        ["--every", "-1"],
        ["--threads", "0"],
    ],
)
def test_bad_options_are_usage_errors(video, clip, options):
    result = video(clip, *options)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_without_the_extra_it_says_what_to_install(clip, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "av" else object())
    said = str(run_main(monkeypatch, "video", clip))
    assert said == 'crossfer: this command needs av: pip install ".[video]" in a checkout'


def without(module: str, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a script in an interpreter in which a module cannot be loaded."""
    script = f"import sys; sys.modules['{module}'] = None; {script}"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_part_that_cannot_be_loaded_is_one_clear_line(clip):
    done = without("cv2", "from crossfer.cli import main; main()", "video", clip)
    assert done.returncode == 1
    assert done.stderr.startswith("crossfer: crossfer.video cannot be loaded (")
    assert "install Debian's libgl1" in done.stderr
    assert done.stderr.count("\n") == 1
    done = without("av", "import crossfer; crossfer.video")
    assert 'pip install ".[video]" in a checkout' in done.stderr.splitlines()[-1]


def started(model: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "crossfer", "video", "--model", str(model), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory, clip, astronaut) -> Path:
    """Long enough for a commit."""
    path = line(Place(40, 45), Place(100, 50), 420)
    frames = frames_with([head(astronaut, 48)], [[place] for place in path], width=128, height=96)
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", frames)


@pytest.fixture(scope="module")
def long_rows(tmp_path_factory, tiny_model, long_clip) -> bytes:
    """Its rows from a run that nobody stopped."""
    output = tmp_path_factory.mktemp("rows") / "r.jsonl"
    running = started(tiny_model, long_clip, "-o", output, "--detect-every", "10")
    running.communicate()
    return output.read_bytes()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_stopped_can_be_resumed(tiny_model, video, long_clip, long_rows, tmp_path, ending):
    output = tmp_path / "r.jsonl"
    running = started(tiny_model, long_clip, "-o", output, "--detect-every", "10")
    wait_for((tmp_path / "r.jsonl.partial" / "state.json").exists)
    running.send_signal(ending)
    _, told = running.communicate()
    assert names(tmp_path) == ["r.jsonl.partial"]
    if ending != signal.SIGKILL:
        assert running.returncode == 130
        assert told.decode().startswith("crossfer: interrupted after ")
        assert told.decode().endswith("s; go on with --resume\n")
    again = video(long_clip, "-o", output, "--detect-every", "10")
    assert isinstance(again.exception, ValueError)
    assert "go on with it with --resume" in str(again.exception)
    assert video(long_clip, "-o", output, "--detect-every", "10", "--resume").exit_code == 0
    assert output.read_bytes() == long_rows
    assert names(tmp_path) == ["r.jsonl"]
    complete = video(long_clip, "-o", output, "--resume")
    told = f"crossfer: {output} is there, and nothing is unfinished; leave out --resume to make it anew\n"
    assert (complete.exit_code, complete.stdout, complete.stderr) == (0, "", told)
    assert output.read_bytes() == long_rows


def test_ctrl_c_ends_a_stream_and_completes_its_files(tiny_model, tmp_path):
    frames = [np.full((96, 128, 3), 20 + number % 200, np.uint8) for number in range(1500)]
    output, copy = tmp_path / "r.jsonl", tmp_path / "c.mp4"
    with rtsp_server(frames, rate=50) as address:
        running = started(tiny_model, address, "-o", output, "--annotate", copy)
        segment = tmp_path / "r.jsonl.partial" / "segment-00000.mp4"
        wait_for(lambda: segment.exists() and segment.stat().st_size >= 0)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate()
    assert running.returncode == 0, told
    assert b"no face found" in told
    assert names(tmp_path) == ["c.mp4", "r.jsonl"]


def test_a_progress_bar_appears_on_a_terminal_and_only_on_stderr(tiny_model, clip):
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "crossfer", "video", "--model", str(tiny_model)]
    running = subprocess.Popen(
        [*command, "--format", "json", str(clip)], stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            part = os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(controller)
    output, _ = running.communicate()
    assert running.returncode == 0
    assert b"frames/s" in seen
    assert b"left" in seen
    assert len(lines(output.decode())) == COUNT


@pytest.mark.parametrize(("seconds", "ends"), [(None, False), (0.39, True), (9.0, False)])
def test_the_progress_bar_ends_where_the_run_does(monkeypatch, clip, seconds, ends):
    shown = StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=100)
    monkeypatch.setattr("crossfer.console.stderr_console", lambda: console)
    with _progress(seconds) as progress, VideoSource(clip) as source:
        for frame in source.frames():
            progress(source)
            if frame.index == 9:
                break
    *_, last = (line for line in shown.getvalue().splitlines() if "recognising" in line)
    assert (last.count("━") == 40) == ends
    assert re.search(r"frames/s \d:\d\d:\d\d [-\d]:[-\d]{2}:[-\d]{2} left", last)


def test_a_reader_that_goes_away_causes_no_traceback(tiny_model, long_clip):
    running = started(tiny_model, long_clip, "--format", "json", "--detect-every", "10")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert b"Traceback" not in running.stderr.read()
    running.stderr.close()
    assert running.wait() != 0

import csv
import dataclasses
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from PIL import BmpImagePlugin, Image
from typer.testing import CliRunner

import crossfer
from crossfer import Recognizer, cli
from crossfer.images.read import load_image
from crossfer.runtime.bundle import BundleError
from support.bundles import (
    calibrated_bundle,
    calibration,
    damaged_bundle,
    tiny_graph,
    tiny_meta,
    write_bundle,
)
from support.command import run_main
from support.system_fonts import system_with


class Run:
    """Runs ``crossfer predict`` in this process with the tiny model."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, *arguments: object):
        words = ["predict", "--model", str(self.model), *map(str, arguments)]
        return CliRunner().invoke(cli.app, words)


@pytest.fixture
def predict(tiny_model) -> Run:
    return Run(tiny_model)


@pytest.fixture
def folder(tmp_path, astronaut_path) -> Path:
    """A photo, another in a folder below, an image without a face, and a file that is no image."""
    root = tmp_path / "photos"
    (root / "below").mkdir(parents=True)
    shutil.copy(astronaut_path, root / "b.png")
    Image.fromarray(load_image(astronaut_path)).save(root / "below" / "b.jpg", quality=95)
    Image.new("RGB", (64, 48), "gray").save(root / "a.bmp")
    (root / "notes.txt").write_text("not an image")
    return root


def lines(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_lines_are_what_python_gives(predict, tiny_model, astronaut_path):
    result = predict("--format", "json", astronaut_path)
    assert result.exit_code == 0
    assert result.stderr == ""
    (answer,) = lines(result.stdout)
    faces = [face.to_dict() for face in Recognizer(tiny_model).recognize(astronaut_path)]
    assert answer == {"path": str(astronaut_path), "width": 512, "height": 512, "faces": faces, "error": None}


def test_folders_are_searched_in_order_and_other_files_passed_over(predict, folder):
    result = predict("--format", "json", folder)
    answers = lines(result.stdout)
    assert [answer["path"] for answer in answers] == [
        str(folder / "a.bmp"), str(folder / "b.png"), str(folder / "below" / "b.jpg")
    ]  # fmt: skip
    assert [len(answer["faces"]) for answer in answers] == [0, 1, 1]
    assert result.exit_code == 0


def test_a_path_that_fails_does_not_stop_the_others(predict, folder, astronaut_path):
    (folder / "empty.png").touch()
    (folder / "short.png").write_bytes(astronaut_path.read_bytes()[:5000])
    bad = [folder / "none.png", folder / "notes.txt", folder / "empty.png", folder / "short.png"]
    result = predict("--format", "json", *bad, folder / "b.png")
    answers = lines(result.stdout)
    assert result.exit_code == 1
    for path, answer in zip(bad, answers[:4], strict=True):
        assert answer["path"] == str(path)
        assert str(path) in answer["error"]
        assert answer["faces"] == []
        assert answer["width"] is answer["height"] is None
    assert answers[4]["error"] is None
    assert len(answers[4]["faces"]) == 1
    messages = result.stderr.splitlines()
    assert len(messages) == 4
    assert all(line.startswith("crossfer: ") for line in messages)


def test_a_folder_without_images_is_an_error_of_that_path(predict, tmp_path):
    result = predict("--format", "json", tmp_path)
    assert result.exit_code == 1
    assert "found a directory" in lines(result.stdout)[0]["error"]


def test_csv(predict, folder):
    rows = list(csv.DictReader(io.StringIO(predict("--format", "csv", folder).stdout)))
    assert [row["expression"] != "" for row in rows] == [False, True, True]


def test_text_is_a_readable_table(predict, folder):
    output = predict(folder).stdout
    assert f"{folder / 'a.bmp'}  64 x 48, no face found" in output
    assert "next best" in output
    assert "\x1b" not in output


def test_top_k(predict, astronaut_path):
    (answer,) = lines(predict("--format", "json", "--top-k", 3, astronaut_path).stdout)
    probabilities = answer["faces"][0]["probabilities"]
    assert len(probabilities) == 3
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)


def test_without_a_detector_each_image_is_a_face(predict, folder):
    answers = lines(predict("--format", "json", "--detector", "none", folder).stdout)
    assert [face["box"]["width"] for answer in answers for face in answer["faces"]] == [64, 512, 512]
    assert answers[0]["faces"][0]["landmarks"] == []


def test_the_face_score_is_honoured(predict, astronaut_path):
    (answer,) = lines(predict("--format", "json", "--min-face-score", 0.99, astronaut_path).stdout)
    assert answer["faces"] == []


def test_orientation_is_honoured_and_pixels_are_of_the_upright_image(predict, tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.concatenate([astronaut, np.zeros((512, 100, 3), np.uint8)], axis=1)
    stored = Image.fromarray(wide).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    (answer,) = lines(predict("--format", "json", tmp_path / "turned.jpg").stdout)
    assert (answer["width"], answer["height"]) == (612, 512)
    assert answer["faces"][0]["box"]["x"] == pytest.approx(181, abs=6)


def test_results_go_to_a_file_whole_or_not_at_all(predict, folder, tmp_path):
    path = tmp_path / "out.jsonl"
    result = predict("--format", "json", "--output", path, folder)
    assert result.stdout == ""
    assert len(lines(path.read_text())) == 3
    nowhere = predict("--format", "json", "--output", tmp_path / "none" / "out.jsonl", folder)
    assert "make it first" in str(nowhere.exception)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.jsonl", "photos"]


def test_drawings_of_equal_names_do_not_collide(predict, folder, tmp_path):
    drawn = tmp_path / "new" / "drawn"
    assert predict("--annotate", drawn, folder).exit_code == 0
    assert sorted(path.name for path in drawn.iterdir()) == ["a.png", "b-2.png", "b.png"]
    assert all(max(load_image(path).shape) >= 1024 for path in drawn.iterdir())


def test_drawing_into_the_folder_of_the_photos_overwrites_none(predict, folder):
    before = (folder / "b.png").read_bytes()
    predict("--annotate", folder, folder / "b.png")
    assert (folder / "b.png").read_bytes() == before
    assert (folder / "b-2.png").is_file()


def test_what_was_written_is_told_in_a_line(predict, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = predict(".", "-o", "faces.csv", "--annotate", "drawn/")
    told = "crossfer: faces.csv: 3 images, 2 faces, 1 without a face; drawn: 3 pictures\n"
    assert (result.stdout, result.stderr) == ("", told)
    result = predict("b.png", "notes.txt", "-o", "faces.csv")
    assert result.stderr.splitlines()[-1] == "crossfer: faces.csv: 2 images, 1 face, 1 with an error"
    assert predict("b.png", "--annotate", "drawn").stderr == "crossfer: drawn: 1 picture\n"


@pytest.mark.parametrize("place", ["drawn", "."])
def test_a_second_run_does_not_take_drawings_for_photos(predict, folder, place, monkeypatch):
    monkeypatch.chdir(folder)
    for options in (["--annotate", place], ["--annotate", place], []):
        result = predict("--format", "json", ".", *options)
        assert [answer["path"] for answer in lines(result.stdout)] == ["a.bmp", "b.png", "below/b.jpg"]
    assert result.stderr == "crossfer: 3 drawings by crossfer not looked at\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "xml"],
        ["--detector", "haar"],
        ["--min-face-score", "2"],
        ["--top-k", "0"],
        ["--threads", "0"],
        ["--annotate", __file__],
        ["--nonsense"],
    ],
)
def test_bad_options_are_usage_errors(predict, astronaut_path, options):
    result = predict(*options, astronaut_path)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_no_path_is_a_usage_error(predict):
    assert predict().exit_code == 2


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["predict", ""], "after predict"),
        (["predict", "photo.png", "--annotate", ""], "after --annotate"),
        (["predict", "photo.png", "--annotate="], "in --annotate="),
        (["score", "", "-o", "scored"], "after score"),
        (["video", ""], "after video"),
        (["data", "crop", "", "-o", "faces"], "after crop"),
        (["data", "crop", "photos", "-o", ""], "after -o"),
    ],
)
def test_an_empty_word_is_a_usage_error(words, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = str(run_main(monkeypatch, *words))
    assert said.startswith(f"crossfer: expected a name or value {place}, found nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "a.png"],
        ["score", "photos", "-o", "scored"],
        ["serve", "--port", "0"],
        ["evaluate", "--data", "folder", "--root", "faces"],
    ],
)
@pytest.mark.parametrize(("option", "value"), [("--min-face-score", "0.7"), ("--detector-side", "1920")])
def test_an_option_of_a_detector_that_is_not_asked_is_a_usage_error(
    words, option, value, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = run_main(monkeypatch, *words, "--detector", "none", option, value)
    assert str(said).startswith(f"crossfer: {option}: is for a detector, and none runs here; add --detector")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["-o", "-"], ["--output", "-"], ["--output=-"], ["-o-"]])
@pytest.mark.parametrize("command", [["predict", "a.png"], ["video", "a.mp4"], ["export", "run"]])
def test_a_dash_for_the_output_is_a_usage_error(command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = str(run_main(monkeypatch, *command, *words))
    name = "the name of a file or folder" if command[0] == "export" else "a name"
    assert said.startswith(f"crossfer: --output -: expected {name}, found - for standard output, w")
    assert ("leave it out" in said) == (command[0] != "export")
    assert list(tmp_path.iterdir()) == []


def test_after_two_dashes_all_words_are_names(predict, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48)).save("image", "png")
    for name in ("-o-", "--output=-", "--a="):
        Path("image").rename(name)
        assert predict("--", name).exit_code == 0
        Path(name).rename("image")
    assert "expected a name or value after --, found nothing" in str(
        run_main(monkeypatch, "predict", "--", "")
    )


def test_a_text_that_is_an_image_is_a_usage_error_that_does_not_repeat_it(monkeypatch):
    said = str(run_main(monkeypatch, "predict", "photo.png", "data:image/png;base64," + 4000 * "A"))
    assert said.startswith(
        "crossfer: expected a path, found a text of 4,022 characters that begins 'data:image"
    )
    assert len(said) < 250


def test_an_address_is_a_usage_error_that_says_how_to_fetch_it(predict, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = "https://example.org/a.jpg"
    said = str(run_main(monkeypatch, "predict", "photo.png", address))
    told = "addresses are not fetched; use curl -L ADDRESS | crossfer predict -"
    assert said == f"crossfer: {address}: {told}"
    Path("http:").mkdir()
    Image.new("RGB", (64, 48)).save("http:/a.png")
    assert predict("http://a.png").exit_code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such model file"),
        (b"", "expected a whole ONNX file"),
        (b"junk", "expected a whole ONNX file"),
    ],
)
def test_a_bad_model_is_one_line(monkeypatch, tmp_path, astronaut_path, content, message):
    model = tmp_path / "bad.onnx"
    if content is not None:
        model.write_bytes(content)
    code = run_main(monkeypatch, "predict", "--model", model, astronaut_path)
    assert str(code).startswith("crossfer: ")
    assert message in str(code)
    assert "\n" not in str(code)


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_a_model_without_a_finite_answer_is_at_fault_and_no_image(monkeypatch, capsys, tmp_path, form):
    model = damaged_bundle(tmp_path / "damaged.onnx")
    for name in "ab":
        Image.new("RGB", (64, 48)).save(tmp_path / f"{name}.png")
    asked = ("--model", model, "--detector", "none", "--format", form)
    code = run_main(monkeypatch, "predict", *asked, tmp_path / "a.png", tmp_path / "b.png")
    assert str(code).startswith("crossfer: model 'tiny': expected finite logits and evidence, found others")
    told = capsys.readouterr()
    assert told.err == ""
    assert "png" not in told.out


def test_an_unexpected_system_error_is_one_line(monkeypatch, tiny_model, astronaut_path, tmp_path):
    (tmp_path / "file").touch()
    code = run_main(
        monkeypatch, "predict", "--model", tiny_model, astronaut_path, "--annotate", tmp_path / "file" / "sub"
    )
    assert code == f"crossfer: {tmp_path / 'file' / 'sub'}: Not a directory"


@pytest.mark.parametrize("place", ["/proc/out.jsonl", "a" * 255 + ".csv"])
def test_an_output_that_cannot_be_written_is_told_before_any_work(monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    code = run_main(monkeypatch, "predict", "--model", "none.onnx", "photo.png", "-o", place)
    assert str(code).startswith(f"crossfer: --output {place}: cannot be written (")
    assert list(tmp_path.iterdir()) == []


def test_results_may_go_to_a_device_or_a_pipe(predict, folder, tmp_path):
    assert predict(folder / "a.bmp", "-o", os.devnull).exit_code == 0
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        assert predict("--format", "json", folder / "a.bmp", "-o", tmp_path / "pipe").exit_code == 0
        assert len(lines(read.result(timeout=10))) == 1


def test_version(monkeypatch, capsys):
    assert run_main(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"crossfer {crossfer.__version__}\n"


def command(model: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "crossfer", "predict", "--model", str(model), *map(str, arguments)]


def test_a_reader_that_goes_away_causes_no_traceback(tiny_model, folder):
    running = subprocess.Popen(
        command(tiny_model, *[folder] * 3), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert b"Traceback" not in running.stderr.read()
    running.stderr.close()
    assert running.wait() != 0


def test_interruption_is_quiet(tiny_model, folder):
    many = [folder] * 200
    running = subprocess.Popen(
        command(tiny_model, *many, "--format", "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate()
    assert running.returncode == 130
    assert errors == b""


def test_a_progress_bar_appears_on_a_terminal_and_only_on_stderr(tiny_model, folder):
    controller, terminal = pty.openpty()
    running = subprocess.Popen(
        command(tiny_model, "--format", "json", folder), stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
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
    assert b"recognising" in seen
    assert len(lines(output.decode())) == 3


def test_sets_and_abstention_on_the_command_line(predict, tmp_path, astronaut_path):
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=1.0, set_threshold=0.0))
    asked = ("--coverage", "0.9", "--abstain", "--format", "json", astronaut_path)
    result = Run(model)(*asked)
    assert result.exit_code == 0, result.output
    (face,) = lines(result.stdout)[0]["faces"]
    assert len(face["prediction_set"]) == 8
    assert face["answer"] == "uncertain"
    assert face["prediction_set"][0] == face["expression"]
    failed = predict(*asked)
    assert isinstance(failed.exception, BundleError)
    assert "crossfer calibrate" in str(failed.exception)
    assert predict("--coverage", "0.2", astronaut_path).exit_code == 2


def test_results_never_replace_an_image(predict, folder):
    before = (folder / "a.bmp").read_bytes()
    result = predict("--format", "json", folder, "-o", folder / "a.bmp")
    assert "a.bmp: is read here and would be lost" in str(result.exception)
    assert (folder / "a.bmp").read_bytes() == before


def test_escapes_in_the_name_of_a_link_that_is_passed_over_are_escaped(predict, folder):
    (folder / "link\x1b[31mRED").symlink_to(folder / "below")
    assert "(" + str(folder / "link\\x1b[31mRED") + ")" in predict(folder).stderr


def test_a_loop_of_links_is_an_error_of_that_path_or_of_the_output(predict, folder, tmp_path):
    loop, output = tmp_path / "loop.png", tmp_path / "out.jsonl"
    loop.symlink_to(loop)
    result = predict(loop, folder / "a.bmp", "-o", output)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    wrong, right = lines(output.read_text())
    assert str(loop) in wrong["error"]
    assert right["error"] is None
    assert "--output" in str(predict(folder / "a.bmp", "-o", loop).exception)


def test_what_is_not_looked_at_is_told(predict, folder):
    (folder / "c.heic").touch()
    assert "1 file not looked at (.heic 1)" in predict("--format", "json", folder).stderr


def test_faces_are_given_where_a_drawing_cannot_be_written(predict, folder, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", str(tmp_path / "drawn" / "b.png"))

    monkeypatch.setattr("crossfer.runtime.command.save_png", fail)
    result = predict("--format", "json", folder / "b.png", "--annotate", tmp_path / "drawn")
    assert result.exit_code == 1
    assert len(lines(result.stdout)[0]["faces"]) == 1
    assert "b.png: No space left on device" in result.stderr


def test_names_are_not_turned_into_pictures(predict, folder):
    shutil.copy(folder / "a.bmp", folder / ":heart: [red]x.bmp")
    assert ":heart: [red]x.bmp" in predict(folder / ":heart: [red]x.bmp").stdout


@pytest.mark.parametrize("of", ["the detector", "the model"])
def test_an_image_for_which_inference_has_no_memory_does_not_stop_the_others(
    predict, folder, astronaut_path, monkeypatch, of
):
    class Failing:
        """Fails once, as ONNX Runtime does where memory is short."""

        def __init__(self, session) -> None:
            self.session, self.failed = session, False

        def __getattr__(self, name: str):
            return getattr(self.session, name)

        def run(self, *arguments):
            if not self.failed and (arguments[0][0] == "logits") == (of == "the model"):
                self.failed = True
                raise Fail("Failed to allocate memory for requested buffer of size 9")
            return self.session.run(*arguments)

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **b: Failing(real(*a, **b)))
    result = predict("--format", "json", astronaut_path, folder / "b.png")
    assert result.exit_code == 1
    wrong, right = lines(result.stdout)
    assert "Failed to allocate memory" in wrong["error"]
    assert len(right["faces"]) == 1


def test_an_image_that_there_is_no_memory_to_decode_is_not_called_damaged(
    predict, folder, astronaut_path, monkeypatch
):
    def short(image: BmpImagePlugin.BmpImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", short)
    result = predict("--format", "json", folder / "a.bmp", astronaut_path)
    assert result.exit_code == 1
    wrong, right = lines(result.stdout)
    assert "a.bmp: expected memory to decode it, found too little" in wrong["error"]
    assert len(right["faces"]) == 1


def test_names_do_not_rule_the_terminal(predict, folder):
    shutil.copy(folder / "a.bmp", folder / "a\x1b[2J.bmp")
    assert "a\\x1b[2J.bmp  64 x 48, no face found" in predict(folder).stdout


@pytest.mark.parametrize("name", ["a.json", "a.JSONL", "a.ndjson", "a.csv", "a.txt"])
def test_the_form_is_as_the_name_of_the_output_ends(predict, astronaut_path, tmp_path, name):
    result = predict(astronaut_path, "--output", tmp_path / name)
    assert result.exit_code == 0
    form = {".csv": "csv", ".txt": "text"}.get(Path(name).suffix, "json")
    assert (tmp_path / name).read_text() == predict("--format", form, astronaut_path).stdout
    assert predict("--format", "csv", astronaut_path, "--output", tmp_path / name).exit_code == 0
    assert (tmp_path / name).read_text().startswith("path,")


def test_a_name_that_asks_for_another_form_is_refused_before_the_work(
    predict, astronaut_path, tmp_path, monkeypatch
):
    file = tmp_path / "out.parquet"
    said = str(run_main(monkeypatch, "predict", astronaut_path, "-o", file))
    names = ".json, .jsonl, .ndjson, .csv, .txt"
    assert said == f"crossfer: --output {file}: expected a name that ends in {names}; or say --format"
    assert list(tmp_path.iterdir()) == []
    assert predict("--format", "json", astronaut_path, "-o", tmp_path / "out.log").exit_code == 0
    assert predict(astronaut_path, "-o", tmp_path / "out").exit_code == 0


def test_as_many_threads_as_are_asked_for(predict, astronaut_path, threads_asked):
    answers = [predict(*options, astronaut_path).stdout for options in ([], ["--threads", 1])]
    assert threads_asked == [None, 1]
    assert answers[0] == answers[1] != ""


def test_small_faces_of_a_large_photo_are_found_by_a_larger_look(predict, astronaut_path, tmp_path):
    photo = Image.new("RGB", (3000, 2000), "gray")
    photo.paste(Image.open(astronaut_path).convert("RGB").resize((220, 220)), (100, 100))
    photo.save(tmp_path / "group.png")
    found = [
        len(
            lines(predict("--format", "json", "--detector-side", side, tmp_path / "group.png").stdout)[0][
                "faces"
            ]
        )
        for side in (640, 1920)
    ]
    assert found == [0, 1]


def test_a_folder_without_images_says_so(predict, tmp_path):
    (tmp_path / "notes.txt").touch()
    result = predict(tmp_path)
    assert result.exit_code == 1
    assert (
        "expected an image file, found a directory; name files, or a folder that holds some (.bmp"
        in result.stderr
    )


def test_a_folder_of_drawings_alone_holds_nothing_to_look_at(predict, folder):
    drawn = folder / "drawn"
    predict("--annotate", drawn, folder / "b.png")
    result = predict(drawn)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first == "crossfer: 1 drawing by crossfer not looked at"
    assert second == (
        f"crossfer: {drawn}: no images left in this folder to look at; name files, or another folder"
    )


@pytest.mark.parametrize(
    ("closing", "status"),
    [(">&-", 1), (">&- <&-", 1), (">&- 2>&-", 1), ("2>&- >/dev/null", 0), (">&- -o out.json", 0)],
)
def test_closed_streams_are_no_traceback_and_lose_no_results(
    astronaut_path, tiny_model, tmp_path, closing, status
):
    command = f'"{sys.executable}" -m crossfer predict --model "{tiny_model}" "{astronaut_path}" {closing}'
    done = subprocess.run(
        ["/bin/sh", "-c", command], check=False, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    told = "crossfer: standard output: Bad file descriptor\n" if status and "2>" not in closing else ""
    told = "crossfer: out.json: 1 image, 1 face\n" if "-o" in closing else told
    assert (done.returncode, done.stderr) == (status, told)


def test_an_image_may_come_from_standard_input(tiny_model, astronaut_path, tmp_path):
    command = [
        sys.executable,
        "-m",
        "crossfer",
        "predict",
        "--model",
        str(tiny_model),
        "--format",
        "json",
    ]
    drawn = ["--annotate", str(tmp_path)]
    content = astronaut_path.read_bytes()
    piped = subprocess.run([*command, "-", *drawn], input=content, capture_output=True, check=True)
    named = subprocess.run([*command, astronaut_path], capture_output=True, check=True)
    assert lines(piped.stdout.decode()) == [{**lines(named.stdout.decode())[0], "path": "-"}]
    assert [path.name for path in tmp_path.iterdir()] == ["stdin.png"]
    empty = subprocess.run([*command, "-"], input=b"", capture_output=True, check=False)
    assert empty.returncode == 1
    assert b"crossfer: -: expected an image, found nothing (0 bytes)" in empty.stderr


def test_a_file_may_be_called_like_standard_input(predict, astronaut_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(astronaut_path, "-")
    (answer,) = lines(predict("--format", "json", "./-").stdout)
    assert len(answer["faces"]) == 1


def test_standard_input_that_is_closed_or_named_twice_is_one_line(tiny_model):
    command = [sys.executable, "-m", "crossfer", "predict", "--model", str(tiny_model)]
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" - <&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert closed.returncode == 1
    assert "standard input, found it closed" in closed.stderr
    twice = subprocess.run([*command, "-", "-"], input="", capture_output=True, text=True, check=False)
    assert twice.returncode == 2
    assert "can be read once only" in twice.stderr


def test_letters_that_no_font_here_has_are_told_once_and_only_where_there_are_pictures(
    tmp_path, folder, astronaut_path
):
    meta = dataclasses.replace(tiny_meta(), label_set="mine", labels=(*"abcdefg", "дрожь"))
    predict = Run(write_bundle(tmp_path / "mine.onnx", tiny_graph(meta), meta.to_json()))
    with system_with("cmr10.ttf"):
        drawn = predict(astronaut_path, folder / "b.png", "--annotate", tmp_path / "drawn")
        assert (
            drawn.stderr.count(
                "pictures show джорь as boxes: no font was found that has all letters of a name; install"
            )
            == 1
        )
        assert "no font" not in predict(astronaut_path).stderr
    with system_with("DejaVuSans.ttf"):
        assert "no font" not in predict(astronaut_path, "--annotate", tmp_path / "drawn").stderr

"""What a run writes, and what it says when something is wrong."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import json
import os
import resource
import shutil
import subprocess
import tarfile
import threading
import time
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import BmpImagePlugin, Image

from crossfer import Recognizer
from crossfer.cli.score import _told_how_to_go_on
from crossfer.runtime.bundle import read_bundle
from crossfer.scale import storage
from crossfer.scale.entries import to_table
from crossfer.scale.faults import InputGoneError, ScoreError
from crossfer.scale.listing import Listing
from crossfer.scale.names import to_bytes
from crossfer.scale.output import OutputFolder
from crossfer.scale.plan import Shard
from crossfer.scale.rows import schema
from crossfer.scale.run import ScoreOptions, _new_plan
from crossfer.scale.work import Scorer, Setup
from scale import corpora
from scale.runs import command, draw, rows, run, run_here, start, summary, wait_for_shards
from support.bundles import (
    calibrated_bundle,
    calibration,
    damaged_bundle,
    tiny_graph,
    tiny_meta,
    write_bundle,
)
from support.windows import keep_open_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "images"
    draw(folder, 150)
    return folder


@pytest.fixture
def options(tiny_model: Path) -> list[object]:
    return ["--model", tiny_model, "--detector", "none", "--workers", 1]


def test_rows_are_what_the_recogniser_says(tmp_path, astronaut, astronaut_path):
    """With the detector, sets and abstention: two faces, no face, and a file that is no image."""
    model = calibrated_bundle(tmp_path / "c.onnx", calibration(threshold=0.3))
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 48), "gray").save(photos / "a.bmp")
    Image.fromarray(np.concatenate([astronaut, astronaut[::2, ::2].repeat(2, 0)], axis=1)).save(
        photos / "b.png"
    )
    (photos / "c.png").write_bytes(b"junk")
    (photos / "notes.txt").touch()
    shutil.copy(astronaut_path, photos / b"caf\xe9.png".decode("utf-8", "surrogateescape"))
    asked = ["--coverage", "0.9", "--abstain", "--min-face-score", "0.3", "--model", model, "--workers", 1]
    done = run_here(photos, "-o", tmp_path / "out", *asked)
    assert "1 .txt" in done.stdout
    table = rows(tmp_path / "out")
    recognizer = Recognizer(model, min_face_score=0.3, threads=1, coverage=0.9, abstain=True)
    assert table.schema.equals(schema(recognizer.meta.labels))
    names = ["a.bmp", "b.png", "c.png", b"caf\xe9.png"]
    found = table.to_pylist()
    assert [row["entry"] for row in found] == [0, 1, 1, 2, 3]
    for number, name in enumerate(names):
        path = os.path.join(bytes(photos), name if isinstance(name, bytes) else name.encode())
        mine = [row for row in found if row["entry"] == number]
        assert {to_bytes(row["path"], row["escaped"]) for row in mine} == {path}
        content = Path(os.fsdecode(path)).read_bytes()
        assert {row["image_sha256"] for row in mine} == {hashlib.sha256(content).hexdigest()}
        if name == "c.png":
            assert "expected a JPEG" in mine[0]["error"]
            assert (mine[0]["cause"], mine[0]["faces"], mine[0]["face"]) == ("decoding", None, None)
            continue
        faces = recognizer.recognize(content)
        assert [row["faces"] for row in mine] == [len(faces)] * max(len(faces), 1)
        if not faces:
            assert mine[0]["face"] is mine[0]["expression"] is mine[0]["error"] is None
        for row, face in zip(mine, faces, strict=False):
            assert row["face"] == faces.index(face) + 1
            assert [row[f"p_{label}"] for label in recognizer.meta.labels] == pytest.approx(
                list(face.prediction.probabilities.values()), abs=1e-6
            )
            points = [
                [row[f"{point}_x"], row[f"{point}_y"]]
                for point in ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
            ]
            assert np.allclose(points, face.landmarks)
            assert [row["box_x"], row["box_height"]] == pytest.approx([face.box.x, face.box.height])
            assert (row["expression"], row["answer"]) == (face.expression, face.prediction.answer)
            assert tuple(row["prediction_set"]) == face.prediction.prediction_set
            assert row["model_sha256"] == recognizer.sha256
    seen = summary(tmp_path / "out")
    assert (seen["images"], seen["faces"], seen["images_without_face"]) == (4, 3, 1)
    assert seen["errors"] == {"decoding": 1}
    assert seen["faces_an_image"] == {"0": 1, "1": 1, "2": 1}


@pytest.mark.parametrize(
    "form", [corpora.as_zip, corpora.as_tar, corpora.as_parquet, corpora.as_csv, corpora.as_list]
)
def test_every_form_gives_the_same_answers(form, images, options, tmp_path):
    some = sorted(images.iterdir())[:20]
    endings = {"as_list": ".txt"}
    corpus = form(some, tmp_path / f"x{endings.get(form.__name__, '.' + form.__name__.removeprefix('as_'))}")
    run_here(corpus, "-o", tmp_path / "out", *options)
    table = rows(tmp_path / "out")
    recognizer = Recognizer(options[1], "none", threads=1)
    expected = [
        face.confidence for (face,) in recognizer.recognize_batch([path.read_bytes() for path in some])
    ]
    assert table["confidence"].to_pylist() == pytest.approx(expected, abs=1e-6)
    assert table["image_sha256"].to_pylist() == [hashlib.sha256(p.read_bytes()).hexdigest() for p in some]


def test_a_streamed_tar_and_a_small_shard_size(images, options, tmp_path):
    some = sorted(images.iterdir())[:50]
    corpora.as_tar(some[:30], tmp_path / "tars.tar.gz")
    corpora.as_tar(some[30:], tmp_path / "tars.tgz")
    run_here(tmp_path / "tars.*", "-o", tmp_path / "out", *options, "--shard-size", 4)
    table = rows(tmp_path / "out")
    assert table["entry"].to_pylist() == [0] * 30 + [1] * 20
    assert table["member"].to_pylist() == [path.name for path in some]


@pytest.mark.parametrize("archive", [b"x.tar", b"caf\xe9.tar", b"x.tar.gz"])
@pytest.mark.parametrize("member", [b"in/a.png", b"na\xffme \\.png"])
def test_a_row_names_the_archive_and_the_member_whatever_bytes_they_hold(
    archive, member, images, options, tmp_path
):
    path = tmp_path / os.fsdecode(archive)
    with tarfile.open(path, "w:gz" if archive.endswith(b"gz") else "w") as tar:
        tar.add(sorted(images.iterdir())[0], os.fsdecode(member))
    run_here(path, "-o", tmp_path / "out", *options)
    (row,) = rows(tmp_path / "out").to_pylist()
    assert row["cause"] is None
    assert to_bytes(row["path"], row["escaped"]) == bytes(path)
    assert to_bytes(row["member"], row["escaped"]) == member
    assert row["escaped"] == (b"\xe9" in archive or b"\xff" in member)


def test_duplicates_are_scored_once(images, options, tmp_path):
    names = sorted(images.iterdir())[:3]
    listed = corpora.as_list([*names, names[1]], tmp_path / "list.txt")
    done = run_here(listed, "-o", tmp_path / "out", *options)
    found = rows(tmp_path / "out").to_pylist()
    assert [row["cause"] for row in found] == [None, None, None, "duplicate"]
    assert "as image 1" in found[3]["error"]
    assert "duplicate: 1" in done.stdout


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_name_that_occurs_twice_in_a_tar_is_two_images(name, images, options, tmp_path):
    contents = corpora.contents(sorted(images.iterdir())[:2])
    path = corpora.tar_of([("a.png", data) for data in contents], tmp_path / name)
    run_here(path, "-o", tmp_path / "out", *options)
    table = rows(tmp_path / "out")
    assert table["member"].to_pylist() == ["a.png", "a.png"]
    assert table["image_sha256"].to_pylist() == [hashlib.sha256(data).hexdigest() for data in contents]
    assert table["cause"].to_pylist() == [None, None]


# ---- runs that are there already ----


def test_a_folder_with_a_run_is_refused_and_a_finished_run_has_nothing_left_to_do(images, options, tmp_path):
    output = tmp_path / "out"
    run_here(images, "-o", output, *options)
    before = {path: path.stat().st_mtime_ns for path in (output / "faces").iterdir()}
    assert "--resume" in run_here(images, "-o", output, *options, code=1).stderr
    run_here(images, "-o", output, *options, "--resume")
    assert {path: path.stat().st_mtime_ns for path in (output / "faces").iterdir()} == before


def test_a_folder_with_anything_else_is_refused(images, options, tmp_path):
    (tmp_path / "thesis.tex").touch()
    assert "found thesis.tex" in run_here(images, "-o", tmp_path, *options, code=1).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def everything_in(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize(
    "names",
    [
        ["faces/photo.png"],
        ["faces/part-000000.parquet"],
        ["plan/notes.txt"],
        ["plan/00000.parquet", "plan/notes.txt"],
        ["report.html"],
        ["manifest.jsonl"],
        ["summary.json"],
        [".lock"],
    ],
)
def test_what_only_has_a_name_of_ours_is_refused_and_stays(names, images, options, tmp_path):
    output = tmp_path / "out"
    for name in names:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(b"mine")
    before = everything_in(output)
    for source in (images, tmp_path / "nowhere.jpg", output / "faces"):
        assert "expected an empty folder" in run_here(source, "-o", output, *options, code=1).stderr
        assert everything_in(output) == before


def test_photos_in_a_folder_called_faces_are_scored_elsewhere_and_stay(images, options, tmp_path):
    shutil.copytree(images, tmp_path / "faces")
    before = everything_in(tmp_path)
    assert "found faces" in run_here(tmp_path / "faces", "-o", tmp_path, *options, code=1).stderr
    assert everything_in(tmp_path) == before


def test_what_a_run_left_before_its_plan_was_whole_is_taken_over(images, options, tmp_path):
    output = tmp_path / "out"
    for folder in ("plan", "faces"):
        (output / folder).mkdir(parents=True)
    (output / "plan" / "00000.parquet").write_bytes(b"half")
    (output / ".lock").touch()
    run_here(images, "-o", output, *options)
    assert rows(output).num_rows == 150


@pytest.mark.parametrize("content", [b'{"format": 1}', b"{", b"[]"])
def test_a_damaged_run_is_one_sentence(content, images, options, tmp_path):
    output = tmp_path / "out"
    run_here(images, "-o", output, *options)
    (output / "run.json").write_bytes(content)
    error = run_here(images, "-o", output, *options, "--resume", code=1).stderr
    assert "run.json: " in error
    assert "choose another folder" in error


def test_a_line_of_the_manifest_without_its_figures_is_a_part_that_is_done_again(images, options, tmp_path):
    output = tmp_path / "out"
    run_here(images, "-o", output, *options)
    whole = rows(output)
    (output / "manifest.jsonl").write_text('{"shard": 0}\n{"shard": "x"}\n')
    run_here(images, "-o", output, *options, "--resume")
    assert rows(output).equals(whole)


@pytest.mark.parametrize("name", ["z.zip", "z.tar", "z.tar.gz", "z.parquet"])
def test_a_pipe_with_the_name_of_an_archive_is_not_waited_for(name, options, tmp_path):
    folder = tmp_path / "in"
    draw(folder, 2)
    os.mkfifo(folder / name)
    done = run(folder, "-o", tmp_path / "out", *options)
    assert "expected a regular file" in done.stdout
    assert summary(tmp_path / "out")["faces"] == 2


def test_names_do_not_reach_the_terminal_raw(options, tmp_path):
    folder = tmp_path / "in"
    draw(folder, 1)
    (folder / "\x1b]0;owned\x07\x1b[2Jred.png").write_bytes(b"junk")
    done = run(folder, "-o", tmp_path / "out", *options)
    assert "\\x1b]0;owned\\x07\\x1b[2Jred.png" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_what_schedulers_send_is_as_ctrl_c(images, options, tmp_path):
    running = start(images, "-o", tmp_path / "out", *options, "--shard-size", 2)
    wait_for_shards(running, tmp_path / "out", 1)
    running.terminate()
    _, error = running.communicate(timeout=60)
    assert (running.returncode, "--resume" in error) == (130, True)
    run_here(images, "-o", tmp_path / "out", *options, "--shard-size", 2, "--resume")
    assert summary(tmp_path / "out")["images"] == 150


def test_another_model_other_options_and_another_input_are_refused_by_name(
    images, options, tiny_model, tmp_path
):
    corpus, output = tmp_path / "images", tmp_path / "out"
    shutil.copytree(images, corpus)
    run_here(corpus, "-o", output, *options)
    other = calibrated_bundle(tmp_path / "other.onnx", calibration())
    resume = [corpus, "-o", output, "--resume", "--workers", 1]
    for changed, message in [
        (["--model", other, "--detector", "none"], "model sha256 was"),
        (["--model", tiny_model], "options detector was 'none' and is 'centerface'"),
        (
            ["--model", tiny_model, "--detector", "none", "--shard-size", 7],
            "options shard_size was 1024 and is 7",
        ),
    ]:
        assert message in run_here(*resume, *changed, code=1).stderr
    (corpus / "new.png").touch()
    assert "image 150 was not there" in run_here(*resume, *options, code=1).stderr
    (corpus / "new.png").unlink()
    (corpus / "00007.png").touch()
    assert "image 7 " in run_here(*resume, *options, code=1).stderr
    moved = [tmp_path / "x.zip", *resume[1:]]
    corpora.as_zip(sorted(images.iterdir()), tmp_path / "x.zip")
    assert "inputs was" in run_here(*moved, *options, code=1).stderr
    assert rows(output).num_rows == 150


def test_a_password_in_an_address_is_in_nothing_that_is_passed_on(options, tmp_path):
    draw(tmp_path / "web", 2)
    (tmp_path / "web" / "bad.png").write_bytes(b"junk")
    output = tmp_path / "out"
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given = [f"http://alice:{word}@127.0.0.1:{server.server_port}" for word in ("SECRET", "OTHER")]
        done = [
            run_here(given[0], "-o", output, *options, "--report"),
            run_here(given[0], "-o", output, *options, code=1),
            run_here(given[0], "-o", output, *options, "--resume"),
            run_here(given[1], "-o", output, *options, "--resume", code=1),
            run_here(f"{given[0]}/none", "-o", tmp_path / "none", *options, code=1),
        ]
        server.shutdown()
    assert f"http://127.0.0.1:{server.server_port}/bad.png: " in done[0].stdout
    assert "was named with another user or password" in done[3].stderr
    told = "".join(one.stdout + one.stderr for one in done)
    files = [output / name for name in ("run.json", "summary.json", "report.html", "manifest.jsonl")]
    for text in (told, *(file.read_text() for file in files), str(rows(output)["error"])):
        assert "SECRET" not in text
        assert "OTHER" not in text
    assert "SECRET" in rows(output)["path"][0].as_py(), "where it is needed"


def test_two_runs_at_once_are_refused(images, options, tmp_path):
    running = start(images, "-o", tmp_path / "out", *options, "--shard-size", 2)
    wait_for_shards(running, tmp_path / "out", 1)
    message = run_here(images, "-o", tmp_path / "out", *options, "--resume", code=1).stderr
    running.kill()
    running.communicate()
    assert "another run is writing there" in message


def test_a_part_that_was_lost_or_cut_is_done_again(images, options, tmp_path):
    output = tmp_path / "out"
    run_here(images, "-o", output, *options)
    whole = rows(output)
    (output / "faces" / "part-000000.parquet").unlink()
    (output / "faces" / "part-000002.parquet").write_bytes(b"PAR1")
    (output / "faces" / ".part-000001.parquet.part").write_bytes(b"half")
    with (output / "manifest.jsonl").open("ab") as file:
        file.write(b'{"shard": 9, "ro')
    run_here(images, "-o", output, *options, "--resume")
    assert rows(output).equals(whole)
    assert not list((output / "faces").glob(".*"))
    assert summary(output)["images"] == 150


def test_an_output_inside_the_input_is_refused(images, options):
    assert "outside of the input" in run_here(images, "-o", images / "out", *options, code=1).stderr
    assert not (images / "out").exists()


@pytest.mark.parametrize("pattern", ["photos/*", "pho*", "**"])
def test_an_output_that_a_pattern_matches_is_refused(pattern, options, tmp_path):
    draw(tmp_path / "photos", 2)
    output = tmp_path / "photos" / "out"
    error = run_here(tmp_path / pattern, "-o", output, *options, code=1).stderr
    assert "outside of the input" in error
    assert not output.exists()


@pytest.mark.parametrize("pattern", ["*/*", "**/*.png"])
def test_what_a_pattern_matches_within_the_output_is_no_input(pattern, options, tmp_path):
    draw(tmp_path / "px" / "photos", 2)
    output = tmp_path / "px" / "out"
    run_here(tmp_path / "px" / pattern, "-o", output, *options)
    (output / "photos").mkdir()
    draw(output / "photos", 1)
    before = rows(output)
    run_here(tmp_path / "px" / pattern, "-o", output, *options, "--resume")
    assert rows(output).equals(before)


def test_the_folders_that_a_pattern_matches_are_looked_up_once(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / name, 1)
    (tmp_path / "c.png").touch()
    listing = Listing([str(tmp_path / "*"), str(tmp_path / "a")])
    assert listing.folders == tuple(bytes(tmp_path / name) for name in ("a", "b", "a"))
    draw(tmp_path / "d", 1)
    assert [os.path.relpath(entry.path, bytes(tmp_path)) for entry in listing] == [
        b"a/00000.png",
        b"b/00000.png",
        b"c.png",
        b"a/00000.png",
    ]


# ---- what goes wrong on the way ----


def test_an_image_that_ends_its_process_gets_a_row_and_the_others_are_scored(
    images, options, tmp_path, monkeypatch
):
    """A decoder that crashes on one image, as native code may."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "from crossfer.images import read\n"
        "decode = read.decode\n"
        "read.decode = lambda data, name: os._exit(9) if data == b'crash' else decode(data, name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT / 'src'}")
    corpus = tmp_path / "images"
    corpus.mkdir()
    for path in sorted(images.iterdir())[:5]:
        shutil.copy(path, corpus)
    (corpus / "00002.png").write_bytes(b"crash")
    run(corpus, "-o", tmp_path / "out", *options)
    assert rows(tmp_path / "out")["cause"].to_pylist() == [None, None, "crash", None, None]
    assert summary(tmp_path / "out")["errors"] == {"crash": 1}


def test_a_folder_that_vanishes_stops_the_run_and_no_image_is_written_off(images, options, tmp_path):
    corpus, output = tmp_path / "images", tmp_path / "out"
    shutil.copytree(images, corpus)
    running = start(corpus, "-o", output, *options, "--shard-size", 4)
    wait_for_shards(running, output, 1)
    corpus.rename(tmp_path / "elsewhere")
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "bring it back" in errors
    assert "--resume" in errors
    assert rows(output)["cause"].null_count == rows(output).num_rows < 150
    (tmp_path / "elsewhere").rename(corpus)
    run_here(corpus, "-o", output, *options, "--shard-size", 4, "--resume")
    assert rows(output)["entry"].to_pylist() == list(range(150))


def test_a_larger_look_finds_smaller_faces_and_belongs_to_the_run(astronaut_path, tiny_model, tmp_path):
    photo = Image.new("RGB", (3000, 2000), "gray")
    photo.paste(Image.open(astronaut_path).convert("RGB").resize((220, 220)), (100, 100))
    photo.save(tmp_path / "group.png")
    for side, faces in ((640, 0), (1920, 1)):
        output = tmp_path / str(side)
        asked = [tmp_path / "group.png", "-o", output, "--model", tiny_model]
        run_here(*asked, "--detector-side", side)
        assert summary(output)["faces"] == faces
    again = run_here(*asked, "--resume", code=1)
    assert "options detector_side was 1920 and is 640" in again.stderr


def test_archives_that_vanish_stop_the_run_too(images, tiny_model, tmp_path):
    corpus = corpora.as_zip(sorted(images.iterdir())[:20], tmp_path / "x.zip")
    bundle = read_bundle(tiny_model)
    setup = Setup(tiny_model.read_bytes(), bundle.sha256, bundle.meta.labels, {"detector": "none"})
    shard = Shard(0, 0, to_table(list(Listing([str(corpus)]))))
    with closing(Scorer(setup)) as scorer:
        assert scorer.score(shard).tally.images == 20
    corpus.unlink()
    with closing(Scorer(setup)) as scorer, pytest.raises(InputGoneError, match="bring the input back"):
        scorer.score(shard)


def test_an_archive_of_which_nothing_can_be_unpacked_is_rows_and_not_the_end_of_the_run(
    images, tiny_model, tmp_path
):
    """Unlike one that is no longer there, it would be as it is at each ``--resume``."""
    some = sorted(images.iterdir())[:20]
    corpus = corpora.as_zip(some, tmp_path / "x.zip")
    data = bytearray(corpus.read_bytes())
    for path in some:
        data[data.index(path.read_bytes()) + 50] ^= 255
    corpus.write_bytes(data)
    bundle = read_bundle(tiny_model)
    setup = Setup(tiny_model.read_bytes(), bundle.sha256, bundle.meta.labels, {"detector": "none"})
    shard = Shard(0, 0, to_table(list(Listing([str(corpus)]))))
    with closing(Scorer(setup)) as scorer:
        assert scorer.score(shard).tally.errors == {"archive": 20}
    corpus.unlink()
    corpus.mkdir()
    with closing(Scorer(setup)) as scorer, pytest.raises(InputGoneError, match="bring the input back"):
        scorer.score(shard)


def test_a_list_that_begins_with_folders_is_no_input_that_has_vanished(images, options, tmp_path):
    folders = [tmp_path / f"folder-{number}" for number in range(8)]
    for folder in folders:
        folder.mkdir()
    listed = corpora.as_list([*folders, *sorted(images.iterdir())[:2]], tmp_path / "list.txt")
    run_here(listed, "-o", tmp_path / "out", *options, "--shard-size", 8)
    assert rows(tmp_path / "out")["cause"].to_pylist() == ["not a file"] * 8 + [None] * 2


def test_an_error_about_a_file_that_has_a_name_does_not_blame_the_output(tmp_path):
    with pytest.raises(OSError, match=r"^model\.onnx: Permission denied$"), _told_how_to_go_on(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "model.onnx")


def test_what_never_was_there_is_a_row_each(options, tmp_path):
    listed = corpora.as_list([tmp_path / f"{n}.png" for n in range(20)], tmp_path / "list.txt")
    assert "missing: 20" in run_here(listed, "-o", tmp_path / "out", *options).stdout


def full_after(size: int):
    """A limit on the size of files, which the manifest runs into, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_that_is_full_stops_the_run_and_what_was_written_stays_valid(images, options, tmp_path):
    output = tmp_path / "out"
    asked = [images, "-o", output, *options, "--shard-size", 4]
    running = start(*asked)
    wait_for_shards(running, output, 30)
    running.kill()
    running.communicate()
    manifest = output / "manifest.jsonl"
    largest = max(part.stat().st_size for part in (output / "faces").iterdir())
    assert largest < manifest.stat().st_size + 1000, "the manifest is to hit the limit, and not a part"
    limit = full_after(manifest.stat().st_size + 1000)
    done = subprocess.run(
        command(*asked, "--resume"), capture_output=True, text=True, check=False, preexec_fn=limit
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "File too large" in done.stderr
    assert "--resume" in done.stderr
    lines = manifest.read_bytes().splitlines(keepends=True)
    assert all(json.loads(line) for line in lines)
    assert lines[-1].endswith(b"\n")
    assert 0 < rows(output).num_rows < 150
    run_here(images, "-o", output, *options, "--shard-size", 4, "--resume")
    assert rows(output)["entry"].to_pylist() == list(range(150))


def test_a_really_full_disk(images, options, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=200k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        done = run_here(images, "-o", disk / "out", *options, "--shard-size", 4, code=1)
        assert "No space left on device" in done.stderr
        assert 0 < rows(disk / "out").num_rows < 150
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(disk)], check=True)


def test_what_may_not_be_read_is_a_row(options, tmp_path, monkeypatch):
    """Root, as whom tests may run, may read everything; so the refusal is made up."""
    corpus = tmp_path / "images"
    draw(corpus, 3)
    read = storage._read_file

    def refuse(path: bytes) -> bytes:
        if path.endswith(b"1.png"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return read(path)

    monkeypatch.setattr(storage, "_read_file", refuse)
    run_here(corpus, "-o", tmp_path / "out", *options)
    assert rows(tmp_path / "out")["cause"].to_pylist() == [None, "permission", None]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["nowhere"], "no such file or folder", 1),
        ([], "expected an input", 2),
        (["tests", "--model", "none.onnx"], "no such model file", 1),
        (["tests", "--coverage", "0.9"], "expected a calibrated model", 1),
        (["tests/scale"], "expected images, found none", 1),
        (["tests", "--workers", "0"], "--workers", 2),
        (["s4://bucket/x"], "expected an address that can be opened", 1),
    ],
)
def test_what_cannot_start_is_one_sentence(arguments, message, code, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    model = [] if "--model" in arguments else ["--model", tiny_model]
    done = run_here(*arguments, "-o", tmp_path / "out", *model, code=code)
    assert message in done.stderr
    assert not (tmp_path / "out").exists(), "nothing is left of a run that never began"


def test_a_model_without_a_finite_answer_is_at_fault_and_no_image(tmp_path):
    model, corpus = damaged_bundle(tmp_path / "damaged.onnx"), tmp_path / "images"
    draw(corpus, 3)
    asked = (corpus, "-o", tmp_path / "out", "--model", model, "--detector", "none")
    said = "crossfer: model 'tiny': expected finite logits and evidence, found others"
    assert run_here(*asked, code=1).stderr.startswith(said)
    assert not (tmp_path / "out").exists()
    # It may also show with a later image alone, as where sums overflow.
    meta = replace(tiny_meta(), input=replace(tiny_meta().input, mean=0.0, std=1e-38))
    write_bundle(model, tiny_graph(meta), meta.to_json())
    assert run(*asked, code=1).stderr.startswith(said)
    assert list((tmp_path / "out" / "faces").iterdir()) == []


# ---- real images ----


def test_real_faces_in_a_zip(ferplus_root, tmp_path):
    """The whole validation zip, with the embedded model: each image once."""
    began = time.monotonic()
    run(ferplus_root / "FER2013Valid.zip", "-o", tmp_path / "out", "--detector", "none")
    table = rows(tmp_path / "out")
    assert table.num_rows == 3579
    assert len(set(table["member"].to_pylist())) == 3579
    assert set(table["model_sha256"].to_pylist()) == {read_bundle("default").sha256}
    assert summary(tmp_path / "out")["stints"][0]["first_rows_after"] < time.monotonic() - began
    assert pq.read_metadata(tmp_path / "out" / "faces" / "part-000000.parquet").num_rows == 32


def test_a_file_that_is_made_to_take_long_is_an_error_of_that_image(tmp_path, options):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("L", (48, 48)).save(photos / "b.png")
    data = (photos / "b.png").read_bytes()
    chunk = bytes(4) + b"abCd" + zlib.crc32(b"abCd").to_bytes(4)
    (photos / "a.png").write_bytes(data[:33] + chunk * 70_000 + data[33:])
    run_here(photos, "-o", tmp_path / "out", *options)
    first, second = rows(tmp_path / "out").to_pylist()
    assert (first["cause"], second["cause"]) == ("decoding", None)
    assert "a.png: expected a PNG of at most 65,536 chunks, found more" in first["error"]


def test_an_image_that_there_is_no_memory_to_decode_is_not_called_damaged(tmp_path, options, monkeypatch):
    def short(image: BmpImagePlugin.BmpImageFile) -> None:
        raise MemoryError

    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.bmp", "b.png"):
        Image.new("L", (48, 48)).save(photos / name)
    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", short)
    run_here(photos, "-o", tmp_path / "out", *options)
    first, second = rows(tmp_path / "out").to_pylist()
    assert (first["cause"], second["cause"]) == ("decoding", None)
    assert "a.bmp: expected memory to decode it, found too little" in first["error"]


def test_a_run_that_never_began_leaves_nothing_where_an_open_file_cannot_be_removed(tmp_path, monkeypatch):
    keep_open_files(monkeypatch)
    OutputFolder(tmp_path / "out").close()
    assert not list(tmp_path.iterdir())


def test_an_output_anywhere_is_inside_the_root(tmp_path):
    listing = SimpleNamespace(folders=(b"/",))
    with pytest.raises(ScoreError, match="outside of the input /"):
        _new_plan(ScoreOptions(("/",), tmp_path / "out"), None, listing, {}, print)  # type: ignore[arg-type]

"""``crossfer data crop``: the largest face of each photo, framed as the model expects, folders kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from crossfer.runtime.align import crop_face
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.detection import Detection


@pytest.fixture
def photos(tmp_path: Path, astronaut: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    (folder / "train" / "Happy").mkdir(parents=True)
    (folder / "bored").mkdir()
    Image.fromarray(astronaut).save(folder / "train" / "Happy" / "a.png")
    Image.fromarray(astronaut[:, ::-1].copy()).save(folder / "train" / "Happy" / "a.jpg", quality=95)
    Image.new("RGB", (200, 200), "grey").save(folder / "bored" / "wall.png")
    (folder / "bored" / "broken.jpg").write_bytes(b"no image")
    return folder


def test_faces_come_out_in_their_folders(run, capsys, photos: Path, astronaut: np.ndarray):
    faces = photos.parent / "faces"
    assert run("data", "crop", photos, "-o", faces) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{faces}: 2 faces from 4 photos\n"
    assert "left out: " in captured.err
    assert "wall.png: no face found" in captured.err
    assert "broken.jpg" in captured.err
    found = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*") if path.is_file())
    assert found == ["train/Happy/a.jpg.png", "train/Happy/a.png.png"]
    (detection,) = CenterFace().detect(astronaut)
    expected = crop_face(astronaut, detection, read_bundle("default").meta.input.crop)
    np.testing.assert_array_equal(np.asarray(Image.open(faces / "train/Happy/a.png.png")), expected)
    assert "found files in it" in str(run("data", "crop", photos, "-o", faces))


def test_a_photo_that_there_is_no_memory_to_decode_is_left_out(run, capsys, photos: Path, monkeypatch):
    def short(image: JpegImagePlugin.JpegImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", short)
    faces = photos.parent / "faces"
    assert run("data", "crop", photos, "-o", faces) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{faces}: 1 face from 4 photos\n"
    assert "a.jpg: expected memory to decode it" in captured.err


def test_a_photo_at_which_the_detector_fails_is_left_out(run, capsys, photos: Path, monkeypatch):
    def detect(self: CenterFace, image: np.ndarray) -> list[Detection]:
        if image.shape[0] == 200:
            raise MemoryError("expected memory for a run of ONNX Runtime, found too little")
        return real(self, image)

    real = CenterFace.detect
    monkeypatch.setattr(CenterFace, "detect", detect)
    faces = photos.parent / "faces"
    assert run("data", "crop", photos, "-o", faces) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{faces}: 2 faces from 4 photos\n"
    wall = photos / "bored" / "wall.png"
    assert f"left out: {wall}: expected memory for a run of ONNX Runtime, found too little\n" in captured.err


def test_small_faces_are_found_by_a_larger_look(run, capsys, tmp_path: Path, astronaut: np.ndarray):
    group = Image.new("RGB", (3000, 2000), "gray")
    group.paste(Image.fromarray(astronaut).resize((220, 220)), (100, 100))
    (tmp_path / "photos").mkdir()
    group.save(tmp_path / "photos" / "group.png")
    faces = tmp_path / "faces"
    assert run("data", "crop", tmp_path / "photos", "-o", faces) == 1
    assert run("data", "crop", tmp_path / "photos", "-o", faces, "--detector-side", 1920) == 0
    assert capsys.readouterr().out.endswith("1 face from 1 photo\n")


@pytest.mark.parametrize(
    ("photos_at", "output", "message"),
    [
        ("nowhere", "faces", "expected a folder of photos, found none"),
        ("photos/bored/wall.png", "faces", "expected a folder of photos, found a file"),
        ("photos", "photos/faces", "lies in"),
        ("empty", "faces", "expected photos in it, found none"),
    ],
)
def test_what_cannot_be_is_one_line(run, photos: Path, photos_at: str, output: str, message: str):
    root = photos.parent
    (root / "empty").mkdir()
    error = str(run("data", "crop", root / photos_at, "-o", root / output))
    assert message in error
    assert "\n" not in error
    assert not (root / output).exists()


def test_what_counts_is_where_a_folder_lies_not_how_it_is_named(run, photos: Path, monkeypatch):
    monkeypatch.chdir(photos)
    assert "lies in" in str(run("data", "crop", ".", "-o", "../faces/../photos/faces"))
    assert run("data", "crop", ".", "-o", "../faces") == 0


def test_a_class_of_other_pictures_alone_is_named(run, capsys, photos: Path):
    (photos / "train" / "sad").mkdir()
    (photos / "train" / "sad" / "a.HEIC").touch()
    assert run("data", "crop", photos, "-o", photos.parent / "faces") == 0
    said = capsys.readouterr().err.splitlines()
    assert f"crossfer: folder {Path('train/sad')}: no face left in 1 photo" in said


def test_drawings_by_crossfer_are_no_photos(run, capsys, photos: Path):
    assert run("predict", photos / "train", "--annotate", photos / "drawn") == 0
    capsys.readouterr()
    assert run("data", "crop", photos, "-o", photos.parent / "faces") == 0
    captured = capsys.readouterr()
    assert captured.out == f"{photos.parent / 'faces'}: 2 faces from 4 photos\n"
    assert "crossfer: 2 drawings by crossfer not looked at\n" in captured.err
    assert "folder drawn" not in captured.err


def test_a_class_without_a_face_left_is_named(run, capsys, photos: Path):
    (photos / "train" / "Happy" / "a.jpg").unlink()
    (photos / "train" / "sad").mkdir()
    Image.new("RGB", (200, 200), "grey").save(photos / "train" / "sad" / "wall.png")
    assert run("data", "crop", photos, "-o", photos.parent / "faces") == 0
    captured = capsys.readouterr()
    assert captured.out == f"{photos.parent / 'faces'}: 1 face from 4 photos\n"
    assert captured.err.splitlines()[-2:] == [
        "crossfer: folder bored: no face left in 2 photos",
        "crossfer: folder train/sad: no face left in 1 photo",
    ]


def test_a_folder_may_have_the_name_of_a_crop(run, capsys, photos: Path):
    faces, happy = photos.parent / "faces", photos / "train" / "Happy"
    (happy / "a.png.png").mkdir()
    (happy / "a.png.png" / "b.png").write_bytes((happy / "a.png").read_bytes())
    assert run("data", "crop", photos, "-o", faces) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{faces}: 2 faces from 5 photos\n"
    assert "a folder has the name of a photo with .png added; rename one" in captured.err


def test_without_any_face_the_status_is_one(run, capsys, photos: Path):
    assert run("data", "crop", photos / "bored", "-o", photos.parent / "faces") == 1
    assert "0 faces from 2 photos" in capsys.readouterr().out

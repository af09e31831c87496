from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from crossfer.data.folder import found_classes
from crossfer.data.names import Split
from crossfer.data.sample import DataError
from crossfer.data.source import open_dataset, splits_of
from crossfer.images.read import load_image
from crossfer.labels import FER2013, FERPLUS, LabelSet, label_set
from data.layouts import write_class_folders


def test_class_folders_by_any_known_spelling(tmp_path: Path):
    write_class_folders(tmp_path, {"Happy": 2, "anger": 1, "FEARFUL": 1})
    dataset = open_dataset("folder", tmp_path, split="train")
    found = [
        (Path(s.path).relative_to(tmp_path).as_posix(), FERPLUS.expressions[s.label]) for s in dataset.samples
    ]
    assert found == [
        ("FEARFUL/0.png", "fear"),
        ("Happy/0.png", "happiness"),
        ("Happy/1.png", "happiness"),
        ("anger/0.png", "anger"),
    ]
    assert dataset.labels is FERPLUS
    assert {(s.split, s.votes) for s in dataset.samples} == {("train", None)}


def test_labels_follow_the_label_set(tmp_path: Path):
    write_class_folders(tmp_path, {"happiness": 1})
    assert open_dataset("folder", tmp_path).samples[0].label == 1
    assert open_dataset("folder", tmp_path, classes=FER2013).samples[0].label == 3


def test_images_deeper_inside_count_and_litter_does_not(tmp_path: Path):
    write_class_folders(tmp_path / "happiness", {"indoors": 1, ".thumbnails": 1})
    (tmp_path / "happiness" / "Thumbs.db").touch()
    (tmp_path / "happiness" / ".DS_Store").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.txt").touch()
    assert len(open_dataset("folder", tmp_path)) == 1


def test_an_unknown_class_names_those_allowed(tmp_path: Path):
    write_class_folders(tmp_path, {"happiness": 1, "bored": 3})
    where = re.escape(str(tmp_path / "bored"))
    (tmp_path / "bored" / "notes.txt").touch()
    reason = (
        f"{where}: 3 images of an unknown expression 'bored' .*expected one of neutral, happiness, surprise"
        ".*with --classes, in a recipe as"
    )
    with pytest.raises(DataError, match=reason):
        open_dataset("folder", tmp_path)
    dataset = open_dataset("folder", tmp_path, skip_bad=True)
    assert len(dataset) == 1
    assert len(dataset.skipped) == 1
    assert re.match(reason, dataset.skipped[0])


@pytest.mark.parametrize("packed", [False, True])
def test_want_of_memory_makes_no_image_a_bad_one(tmp_path: Path, monkeypatch, packed: bool):
    root = write_class_folders(tmp_path / "faces", {"happiness": 2})
    if packed:
        root = Path(shutil.make_archive(str(tmp_path / "faces"), "zip", root))

    def short(*arguments):
        raise MemoryError

    where, name = (zipfile.ZipFile, "read") if packed else (ImageFile.ImageFile, "load")
    monkeypatch.setattr(where, name, short)
    with pytest.raises(MemoryError):
        open_dataset("folder", root, skip_bad=True)


def test_bad_files_are_named(tmp_path: Path):
    write_class_folders(tmp_path, {"happiness": 2})
    text, broken = tmp_path / "happiness" / "notes.txt", tmp_path / "happiness" / "1.png"
    text.touch()
    with pytest.raises(DataError, match=re.escape(f"{text}: expected an image")):
        open_dataset("folder", tmp_path)
    text.unlink()
    broken.write_bytes(broken.read_bytes()[:1000])
    dataset = open_dataset("folder", tmp_path)
    with pytest.raises(DataError, match=re.escape(f"{broken}: expected a whole image")):
        dataset.read(dataset.samples[1])
    text.touch()
    dataset = open_dataset("folder", tmp_path, skip_bad=True)
    assert [Path(s.path).name for s in dataset.samples] == ["0.png"]
    assert [line.split(": ")[0] for line in dataset.skipped] == [str(text), str(broken)]


def test_images_of_which_none_can_be_read_are_no_data_set(tmp_path: Path):
    for path in write_class_folders(tmp_path, {"fear": 1, "anger": 1}).glob("*/*.png"):
        path.write_bytes(b"none")
    with pytest.raises(
        DataError, match=r"folder: expected images that can be read, found none in 2; .*0\.png: "
    ):
        open_dataset("folder", tmp_path, skip_bad=True)


def test_an_image_that_vanishes_is_named(tmp_path: Path):
    dataset = open_dataset("folder", write_class_folders(tmp_path, {"fear": 1}))
    (tmp_path / "fear" / "0.png").unlink()
    with pytest.raises(DataError, match=r"fear/0\.png: no such file; it was there when"):
        dataset.read(dataset.samples[0])


@pytest.mark.parametrize("name", ["nowhere", "file", "empty", "hollow"])
def test_a_wrong_root_is_named(name: str, tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "fear").mkdir(parents=True)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / name)) + ": expected .*, found "):
        open_dataset("folder", tmp_path / name)


def pictures() -> dict[str, Image.Image]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(256, size=(20, 30, 3), dtype=np.uint8)
    palette = Image.fromarray(rgb).quantize(16)
    see_through = palette.copy()
    see_through.info["transparency"] = 3
    return {
        "rgb.png": Image.fromarray(rgb),
        "grey.png": Image.fromarray(rgb[:, :, 0]),
        "grey16.png": Image.fromarray(rng.integers(65536, size=(20, 30), dtype=np.uint16)),
        "alpha.png": Image.fromarray(rng.integers(256, size=(20, 30, 4), dtype=np.uint8)),
        "grey-alpha.png": Image.fromarray(rng.integers(256, size=(20, 30, 4), dtype=np.uint8)).convert("LA"),
        "palette.png": palette,
        "see-through.png": see_through,
        "bits.png": Image.fromarray(rgb[:, :, 0] > 128),
        "photo.jpg": Image.fromarray(rgb),
        "cmyk.jpg": Image.fromarray(rgb).convert("CMYK"),
        "scan.tif": Image.fromarray(rgb),
        "paint.bmp": Image.fromarray(rgb),
        "web.webp": Image.fromarray(rgb),
    }


@pytest.mark.parametrize("name", list(pictures()))
def test_pixels_are_those_that_recognition_sees(name: str, tmp_path: Path):
    (tmp_path / "fear").mkdir()
    path = tmp_path / "fear" / name
    pictures()[name].save(path)
    dataset = open_dataset("folder", tmp_path)
    pixels = dataset.read(dataset.samples[0])
    assert pixels.shape == (20, 30, 3)
    assert np.array_equal(pixels, load_image(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, tmp_path: Path):
    (tmp_path / "fear").mkdir()
    path = tmp_path / "fear" / "0.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures()["rgb.png"].save(path, exif=exif)
    dataset = open_dataset("folder", tmp_path)
    pixels = dataset.read(dataset.samples[0])
    assert pixels.shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))
    assert np.array_equal(pixels, load_image(path))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused(tmp_path: Path):
    (tmp_path / "fear").mkdir()
    Image.new("1", (11_000, 10_000)).save(tmp_path / "fear" / "0.png")
    dataset = open_dataset("folder", tmp_path)
    with pytest.raises(DataError, match=r"fear/0\.png: .*at most 100 megapixels, found 11000 x 10000"):
        dataset.read(dataset.samples[0])


def test_classes_are_the_folders_that_hold_an_image(tmp_path: Path):
    write_class_folders(tmp_path, {"Happy": 1, "bored": 1, "Angry": 1, "empty": 0, ".hidden": 1})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.txt").touch()
    assert found_classes(tmp_path).expressions == ("anger", "bored", "happiness")
    assert label_set(found_classes(tmp_path).name) == found_classes(tmp_path)


def test_folders_that_macos_named_hold_the_same_classes(tmp_path: Path):
    composed, decomposed = "m\u00fcde", "mu\u0308de"
    for root, name in ((tmp_path / "linux", composed), (tmp_path / "mac", decomposed)):
        write_class_folders(root, {"froh": 1, name: 2})
        assert found_classes(root).expressions == ("froh", composed)
        for classes in (found_classes(root), LabelSet("earlier", ("froh", decomposed))):
            dataset = open_dataset("folder", root, classes=classes)
            assert [sample.label for sample in dataset.samples] == [0, 1, 1]
            assert [dataset.read(sample).ndim for sample in dataset.samples] == [3, 3, 3]


def test_class_folders_may_be_wrapped_in_one_folder(tmp_path: Path):
    write_class_folders(tmp_path / "set" / "fold", {"Happy": 2, "sad": 1})
    shutil.make_archive(str(tmp_path / "fold"), "zip", tmp_path / "set")
    for root in (tmp_path / "set", tmp_path / "fold.zip"):
        assert found_classes(root).expressions == ("happiness", "sadness")
        dataset = open_dataset("folder", root)
        assert [sample.name for sample in dataset.samples] == ["Happy/0.png", "Happy/1.png", "sad/0.png"]


@pytest.mark.parametrize("wrapped", ["", "faces/"])
def test_classes_are_those_of_train_where_there_are_splits(tmp_path: Path, wrapped: str):
    write_class_folders(tmp_path / f"{wrapped}Training", {"calm": 1, "bored": 1})
    write_class_folders(tmp_path / f"{wrapped}val", {"calm": 1})
    assert found_classes(tmp_path).expressions == ("bored", "calm")


@pytest.mark.parametrize(("split", "twins"), [("valid", ("val", "valid")), ("train", ("Train", "training"))])
def test_two_folders_of_one_split_are_refused(split: Split, twins: tuple[str, str], tmp_path: Path):
    for part in twins:
        write_class_folders(tmp_path / part, {"happy": 1, "sad": 1})
    told = rf"expected one folder for the split {split}, found {' and '.join(twins)}; merge them, or rename"
    with pytest.raises(DataError, match=told):
        open_dataset("folder", tmp_path, split=split)
    write_class_folders(tmp_path / "test", {"happy": 2, "sad": 1})
    assert splits_of("folder", tmp_path) == (split, "test")
    assert len(open_dataset("folder", tmp_path, split="test")) == 3, "the others are whole"


@pytest.mark.parametrize("split", ["train", "test"])
def test_where_there_is_no_train_nothing_can_be_cut_from_it(split: Split, tmp_path: Path):
    write_class_folders(tmp_path / "val", {"happy": 1, "sad": 1})
    with pytest.raises(DataError, match=f"has no {split} split here; choose another split"):
        open_dataset("folder", tmp_path, split=split)


def test_the_classes_of_two_folders_of_train_are_not_guessed(tmp_path: Path):
    write_class_folders(tmp_path / "train", {"calm": 1, "bored": 1})
    write_class_folders(tmp_path / "training", {"calm": 1, "bored": 1, "sad": 1})
    with pytest.raises(DataError, match="expected one folder for the split train, found train and training"):
        found_classes(tmp_path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({}, "at least two folders of images, one for each class, found none"),
        ({"faces": 3}, "found faces; name the folder that holds the class folders"),
        ({"happy": 1, "Happiness": 1}, "found Happiness, happy"),
        ({"happy/anna": 1, "happy/ben": 1}, "found happy; name the folder that holds the class folders"),
        ({"happy": 1, "sad, really": 1}, "sad, really: expected a class name without a comma"),
        (
            {"happy": 1, "s\xa0ad": 1},
            r"class names in printable characters, found 's\\xa0ad'; rename that",
        ),
    ],
)
def test_folders_that_are_no_classes(tmp_path: Path, folders: dict[str, int], message: str):
    write_class_folders(tmp_path, folders)
    with pytest.raises(DataError, match=message):
        found_classes(tmp_path)


def test_a_pipe_is_not_waited_for_and_a_link_that_leads_nowhere_is_told(tmp_path: Path):
    write_class_folders(tmp_path, {"sad": 1})
    os.mkfifo(tmp_path / "sad" / "p.png")
    (tmp_path / "sad" / "q.png").symlink_to(tmp_path / "nowhere")
    dataset = open_dataset("folder", tmp_path)
    _, pipe, link = dataset.samples
    with pytest.raises(
        DataError, match=r"sad/p\.png: cannot be read \(expected a regular file, found a device or"
    ):
        dataset.read(pipe)
    with pytest.raises(
        DataError, match=r"sad/q\.png: expected a file, found a link to one that is not there; "
    ):
        dataset.read(link)

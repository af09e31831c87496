import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from crossfer.figure import picture
from crossfer.images import files
from crossfer.images.files import annotated_paths, find_images, passed_over_in_words
from crossfer.runtime.annotate import save_png


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_are_searched_to_the_bottom_in_sorted_order(tmp_path):
    touch(tmp_path, "b.png", "a.JPG", "sub/z/deep.webp", "sub/a.tiff", "notes.txt", ".hidden.png", "c.gif")
    touch(tmp_path, ".thumbnails/a.png")
    found = [str(path.relative_to(tmp_path)) for path in find_images([tmp_path])]
    assert found == ["a.JPG", "b.png", "sub/a.tiff", "sub/z/deep.webp"]


def test_named_files_are_kept_as_they_are(tmp_path):
    touch(tmp_path, "notes.txt", "folder/a.bmp")
    paths = [tmp_path / "notes.txt", tmp_path / "none.png", tmp_path / "folder"]
    assert list(find_images(paths)) == [paths[0], paths[1], tmp_path / "folder" / "a.bmp"]


def test_a_folder_without_images_is_not_passed_over(tmp_path):
    touch(tmp_path, "notes.txt")
    assert list(find_images([tmp_path])) == [tmp_path]


def test_a_link_to_a_parent_does_not_go_round_for_ever(tmp_path):
    touch(tmp_path, "sub/a.png")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_images([tmp_path])) == [tmp_path / "sub" / "a.png"]


def test_equal_names_get_numbers():
    images = [Path(name) for name in ("a/x.jpg", "b/x.jpg", "b/X.png", "c/x-2.jpg", "y.png")]
    assert [path.name for path in annotated_paths(images, Path("out"))] == [
        "x.png", "x-2.png", "X-3.png", "x-2-2.png", "y.png"
    ]  # fmt: skip


def test_no_input_is_overwritten(tmp_path):
    images = [tmp_path / "x.png", tmp_path / "x.jpg", tmp_path / "x-2.png"]
    assert [path.name for path in annotated_paths(images, tmp_path)] == ["x-3.png", "x-4.png", "x-2-2.png"]


def test_many_equal_names_take_no_more_time_for_each(monkeypatch):
    looked_at: list[Path] = []
    key = files._key
    monkeypatch.setattr(files, "_key", lambda path: looked_at.append(path) or key(path))
    images = [Path(f"person-{number}/0001.jpg") for number in range(200)]
    names = [path.name for path in annotated_paths(images, Path("out"))]
    assert names == ["0001.png", *(f"0001-{number}.png" for number in range(2, 201))]
    assert len(looked_at) < 4 * len(images)


@given(st.lists(st.sampled_from(["a/x.png", "b/x.png", "x-2.jpg", "X.jpg", "x-2-2.png", "out/x.png"])))
def test_annotated_paths_are_distinct_and_new(names):
    images = [Path(name) for name in names]
    chosen = [str(path).lower() for path in annotated_paths(images, Path("out"))]
    assert len(set(chosen)) == len(images)
    assert not set(chosen) & {name.lower() for name in names}


def test_what_looks_like_a_picture_and_is_not_read_is_told(tmp_path):
    touch(tmp_path, "a.jfif", "b.HEIC", "sub/c.gif", "sub/d.heic", "notes.txt", "elsewhere/e.png", ".f.gif")
    (tmp_path / "sub" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    passed_over: list[Path] = []
    assert list(find_images([tmp_path], passed_over)) == [
        tmp_path / "a.jfif",
        tmp_path / "elsewhere" / "e.png",
    ]
    assert passed_over_in_words(passed_over) == (
        "3 files not looked at (.heic 2, .gif 1): convert them to JPEG or PNG; "
        f"links to folders are not followed ({tmp_path / 'sub' / 'link'}): name what they lead to"
    )
    assert passed_over_in_words([]) == ""


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(find_images([tmp_path])) == [tmp_path / "a.png", tmp_path / "closed"]


def test_a_file_that_is_there_is_kept_and_a_drawing_of_ours_replaced(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    (tmp_path / "y.png").write_text("no picture")
    save_png(Image.new("RGB", (4, 4)), tmp_path / "z.png")
    (tmp_path / "t.png").write_bytes(picture(Figure()))
    images = [tmp_path / f"{name}.jpg" for name in "xyzt"]
    chosen = [path.name for path in annotated_paths(images, tmp_path)]
    assert chosen == ["x-2.png", "y-2.png", "z.png", "t-2.png"]


def test_drawings_of_ours_are_left_out_of_a_searched_folder_and_told(tmp_path):
    touch(tmp_path, "a.png", "drawn/b.heic")
    for name in ("a.png", "b.PNG"):
        save_png(Image.new("RGB", (2, 2)), tmp_path / "drawn" / name)
    (tmp_path / "drawn" / "c.png").write_bytes(picture(Figure()))
    Image.new("RGB", (2, 2)).save(tmp_path / "drawn" / "own.png")
    passed_over: list[Path] = []
    assert list(find_images([tmp_path], passed_over)) == [tmp_path / "a.png", tmp_path / "drawn" / "own.png"]
    assert passed_over_in_words(passed_over) == (
        "1 file not looked at (.heic 1): convert them to JPEG or PNG; 3 drawings by crossfer not looked at"
    )
    assert list(find_images([tmp_path / "drawn" / "a.png"])) == [tmp_path / "drawn" / "a.png"]

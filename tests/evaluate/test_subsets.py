from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.data.sample import DataError, Sample
from crossfer.data.source import open_dataset
from crossfer.evaluate.subsets import CHALLENGES, Subset, find_subset, read_subset, require_own_names
from data.layouts import write_rafdb

PATHS = ("/data/happy/a.png", "/data/sad/a.png", "/data/sad/b.v2.png")
SAMPLES = [Sample(path, 0) for path in PATHS]


def test_names_with_and_without_suffix_and_folders(tmp_path: Path):
    (tmp_path / "hard.txt").write_text("# hard ones\n\nsad/a.jpg\r\n./b.v2.png\nunheard-of.png\n", "utf-8")
    subset = read_subset(str(tmp_path / "hard.txt"), tmp_path)
    assert subset == Subset("hard", ("sad/a", "b.v2", "unheard-of"))
    assert find_subset(subset, SAMPLES).tolist() == [False, True, True]


def test_only_an_images_suffix_is_cut(tmp_path: Path):
    (tmp_path / "hard.txt").write_text("sad/b.v2\nhappy/a.PNG\nb\n", "utf-8")
    subset = read_subset(str(tmp_path / "hard.txt"), tmp_path)
    assert subset == Subset("hard", ("sad/b.v2", "happy/a", "b"))
    assert find_subset(subset, SAMPLES).tolist() == [True, False, True]


@pytest.mark.parametrize("line", ["sad/a.jpg 3", "sad/a.jpg,3", "sad/a.jpg\t3", "sad/a.jpg; 3"])
def test_a_label_after_a_name_is_refused(line: str, tmp_path: Path):
    (tmp_path / "hard.txt").write_text(f"b.png\n{line}\n", "utf-8")
    with pytest.raises(DataError, match=r"hard\.txt: expected the name of an image a line, nothing after it"):
        read_subset(str(tmp_path / "hard.txt"), tmp_path)
    (tmp_path / "hard.txt").write_text("a, b; and c.png\nno image, 3\n", "utf-8")
    assert read_subset(str(tmp_path / "hard.txt"), tmp_path).names == ("a, b; and c", "no image, 3")


def test_images_go_by_the_names_that_the_data_set_gives_them(tmp_path: Path):
    samples = open_dataset("rafdb", write_rafdb(tmp_path)).samples
    for name in ("test_0002", "test_0002_aligned", "aligned/test_0002_aligned"):
        assert find_subset(Subset("x", (name,)), samples).tolist() == [False, True]


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"'a' fits 2 images, such as /data/happy/a.png and /data/sad/a.png"):
        find_subset(Subset("x", ("a",)), SAMPLES)
    with pytest.raises(DataError, match="none of its 1 names, such as 'c', is among the 3 images"):
        find_subset(Subset("x", ("c",)), SAMPLES)


def test_a_list_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crossfer.evaluate.subsets.MAX_BYTES", 8)
    (tmp_path / "hard.txt").write_text("1234567\n")
    assert read_subset(str(tmp_path / "hard.txt"), tmp_path).names == ("1234567",)
    (tmp_path / "hard.txt").write_text("12345678\n")
    with pytest.raises(DataError, match=r"hard\.txt: expected at most 0 MiB of names, found more"):
        read_subset(str(tmp_path / "hard.txt"), tmp_path)


def test_lists_with_one_name_are_refused():
    with pytest.raises(DataError, match="lists with different names, found 'x' twice"):
        require_own_names([Subset("x", ("a",)), Subset("y", ("a",)), Subset("x", ("b",))])
    require_own_names([Subset("x", ("a",)), Subset("y", ("a",))])


def test_names_from_windows_and_ends_of_names(tmp_path: Path):
    (tmp_path / "hard.txt").write_text("sad\\a.png\n", "utf-8")
    assert find_subset(read_subset(str(tmp_path / "hard.txt"), tmp_path), SAMPLES).tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="none of its 1 names"):
        find_subset(Subset("x", ("ad/a",)), SAMPLES)


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected a list of images in the file .*challenge"):
        read_subset("occlusion", tmp_path)
    with pytest.raises(DataError, match=r"--subset nothing: expected a list .* or one of occlusion, pose-30"):
        read_subset("nothing", tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match="expected the name of an image on each line, found none"):
        read_subset(str(tmp_path / "empty.txt"), tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="expected a text file"):
        read_subset(str(tmp_path / "binary.txt"), tmp_path)


def test_the_published_lists_have_the_published_counts(ferplus_root: Path):
    if not (ferplus_root / "challenge").is_dir():
        pytest.skip(f"{ferplus_root} has no challenge lists")
    samples = open_dataset("ferplus", ferplus_root, split="test").samples
    listed = {name: read_subset(name, ferplus_root) for name in CHALLENGES}
    assert [len(subset.names) for subset in listed.values()] == [605, 1170, 633]
    assert [int(find_subset(subset, samples).sum()) for subset in listed.values()] == [600, 1167, 630]

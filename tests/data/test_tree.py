"""What is read of a folder or zip, and how it is noticed that one has changed."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from crossfer.data.sample import DataError
from crossfer.data.tree import FolderTree, ZipTree, trees_to_try


def rewrite(path: Path, content: bytes) -> None:
    """Other content, with the size and the time of before."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_change_is_seen_though_size_and_time_are_put_back(tmp_path: Path):
    folder, archive = tmp_path / "folder", tmp_path / "a.zip"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.png").write_bytes(b"one")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"one")
    for tree, path, name in (
        (FolderTree(folder), folder / "sub" / "a.png", "sub/a.png"),
        (ZipTree(archive), archive, "a.png"),
    ):
        whole, single = list(tree.state()), tree.state_of(name)
        assert (list(tree.state()), tree.state_of(name)) == (whole, single)
        rewrite(path, path.read_bytes()[::-1])
        assert list(tree.state()) != whole
        assert tree.state_of(name) != single


@pytest.mark.parametrize(("wrappings", "tried"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_data_is_looked_for_in_a_folder_and_in_two_that_hold_nothing_else(
    wrappings: int, tried: int, tmp_path: Path
):
    inner = tmp_path.joinpath(*["only"] * wrappings)
    for name in ("train", "test"):
        (inner / name).mkdir(parents=True)
        (inner / name / "a.png").write_bytes(b"one")
    found = [tree.where for tree in trees_to_try(FolderTree(tmp_path))]
    assert found == [str(tmp_path.joinpath(*["only"] * depth)) for depth in range(tried)]


def test_a_zip_in_place_of_a_folder_is_known_by_its_suffix_in_any_case(tmp_path: Path):
    for archive in ("a [1].zip", "deep/b.ZIP"):
        path = tmp_path / archive
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.png", b"one")
        tree = FolderTree(tmp_path).branch(archive[:-4])
        assert tree is not None
        assert (tree.where, tree.names) == (str(path), {"a.png"})
    assert FolderTree(tmp_path).folders() == ["a [1]", "deep"]
    assert FolderTree(tmp_path).branch("deep/c") is FolderTree(tmp_path).branch("none/c") is None


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_large_zip_with_a_name_twice_is_refused_at_once(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        for name in (*(f"{number:05}.png" for number in range(20_000)), "19999.png"):
            file.writestr(name, b"")
    began = time.process_time()
    with pytest.raises(DataError, match=r"holds two files named 19999\.png"):
        ZipTree(tmp_path / "faces.zip")
    assert time.process_time() - began < 3  # seconds; counting each name among all takes over 10

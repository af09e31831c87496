"""Splits: stratified, the same everywhere, never through a person or a duplicate; and their file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.source import open_dataset
from crossfer.data.split import Duplicates, assign, cut_split
from crossfer.data.splitfile import SplitFile, read_split_file
from crossfer.labels import FERPLUS
from data.layouts import picture, save, write_class_folders, write_rafdb


def parts(labels, groups=None, *, seed=0, **fractions: float) -> list[str]:
    labels = np.asarray(labels)
    names = [f"{i}.png" for i in range(len(labels))]
    return assign(labels, np.arange(len(labels)) if groups is None else groups, names, fractions, seed=seed)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(0, 99), st.floats(0.05, 0.6))
@settings(max_examples=30)
def test_single_images_are_parted_class_by_class(counts: list[int], seed: int, share: float):
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = np.array(parts(labels, seed=seed, valid=share))
    for k, count in enumerate(counts):
        wanted = max(count * share, 1.0 if count > 1 else 0.0)
        assert abs(np.sum((labels == k) & (chosen == "valid")) - wanted) <= 0.5 + 1e-9


def test_the_choice_depends_on_seed_and_names_and_on_nothing_else():
    """Golden: these names hash the same on every machine: ``printf '7 0.png' | b2sum -l 128``."""
    chosen = parts([0] * 10, seed=7, valid=0.3)
    assert [i for i, split in enumerate(chosen) if split == "valid"] == [0, 4, 7]
    assert parts([0] * 10, seed=8, valid=0.3) != chosen
    order = np.random.default_rng(0).permutation(10)
    names = [f"{i}.png" for i in order]
    turned = assign(np.zeros(10, int), np.arange(10), names, {"valid": 0.3}, seed=7)
    assert [turned[int(np.flatnonzero(order == i)[0])] for i in range(10)] == chosen


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_groups_stay_whole_and_shares_stay_near(seed: int):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 80, 600)
    labels = rng.integers(0, 4, 600)
    chosen = np.array(parts(labels, groups, seed=seed, valid=0.2, test=0.1))
    assert all(len(set(chosen[groups == group])) == 1 for group in groups)
    assert abs((chosen == "valid").mean() - 0.2) < 0.05
    assert abs((chosen == "test").mean() - 0.1) < 0.05


def test_groups_are_not_drawn_to_one_side():
    """Half of the images lie in pairs: over seeds, pairs must land in valid as often as single images."""
    groups = np.concatenate([np.repeat(np.arange(100), 2), np.arange(100, 300)])
    share = [
        np.mean(np.array(parts([0] * 400, groups, seed=s, valid=0.2))[:200] == "valid") for s in range(40)
    ]
    assert abs(np.mean(share) - 0.2) < 0.02


def toy(images: list[np.ndarray], subjects: list[str | None]) -> Dataset:
    samples = tuple(
        Sample(str(i), i % 2, split="train", subject=subject, name=f"{i}.png")
        for i, subject in enumerate(subjects)
    )
    return Dataset("toy", "all", FERPLUS, samples, lambda sample: images[int(sample.path)])


def cut(dataset: Dataset, seed: int, duplicates: Duplicates) -> list[str]:
    file = cut_split("folder", dataset, {"valid": 0.4}, seed=seed, duplicates=duplicates)
    return [file.split_of[sample.name] for sample in dataset.samples]


def test_people_and_duplicates_stay_on_one_side():
    images = [picture(i, side=48) for i in range(30)]
    images[7], images[8], images[9] = images[0], np.roll(images[1], 1, axis=1), images[2][:, ::-1]
    dataset = toy(images, ["p" if i in {3, 10, 11} else None for i in range(30)])
    for seed in range(5):
        near, exact = cut(dataset, seed, "near"), cut(dataset, seed, "exact")
        for chosen in (near, exact):
            assert chosen[0] == chosen[7]
            assert chosen[3] == chosen[10] == chosen[11]
        assert near[1] == near[8]
        assert near[2] == near[9]


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="2 images leave none for valid"):
        cut_split("folder", toy([picture(1)] * 2, ["p", "p"]), {"valid": 0.1})


# ---- the file ----


def test_a_split_file_round_trips(tmp_path: Path):
    names = {"a,b.png": "train", '#1/"x".png': "valid", "dir/ü.png": "test"}
    file = SplitFile("folder", "crossfer data split folder", names)
    path = tmp_path / "split.csv"
    path.write_text(file.to_text(), "utf-8")
    assert read_split_file(path) == file
    path.write_text(replace(file, purpose="a run").to_text(), "utf-8")
    assert read_split_file(path) == replace(file, purpose="a run")
    assert read_split_file(path).digest == SplitFile("x", "", dict(reversed(names.items()))).digest


def test_a_set_without_validation_gets_one(tmp_path: Path):
    root = write_rafdb(tmp_path / "rafdb")
    path = tmp_path / "split.csv"
    valid = {"train_00002.jpg", "train_00004.jpg"}
    names = [f"train_0000{i}.jpg" for i in (1, 2, 3, 4)]
    path.write_text(SplitFile("rafdb", "", {n: "valid" if n in valid else "train" for n in names}).to_text())
    train, held_out, test = (
        open_dataset("rafdb", root, split=s, split_file=path) for s in ("train", "valid", "test")
    )
    assert {sample.name for sample in held_out.samples} == valid
    assert {sample.name for sample in train.samples} == set(names) - valid
    assert {sample.split for sample in held_out.samples} == {"valid"}
    assert len(test) == 2
    assert held_out.protocol.startswith("basic, split file ")
    assert held_out.read(held_out.samples[0]).shape == (32, 32, 3)


def test_a_flat_folder_has_no_test_beside_a_split_file_without_one(tmp_path: Path):
    root = write_class_folders(tmp_path / "faces", {"happy": 2, "sad": 2})
    path = tmp_path / "split.csv"
    names = [f"{name}/{i}.png" for name in ("happy", "sad") for i in (0, 1)]
    path.write_text(SplitFile("folder", "", {n: "valid" if "0" in n else "train" for n in names}).to_text())
    assert len(open_dataset("folder", root, split="valid", split_file=path)) == 2
    with pytest.raises(DataError, match="expected images of split test, found train, valid alone"):
        open_dataset("folder", root, split="test", split_file=path)
    save(root / "happy" / "new.png", picture(5))
    told = rf"^{path}: 1 of 5 images of train are not in the split file, first happy/new\.png; it was cut "
    with pytest.raises(DataError, match=rf"{told}from another copy: cut it anew with 'crossfer data split'"):
        open_dataset("folder", root, split="train", split_file=path)
    path.write_text(path.read_text().replace("\nimage,", "\n# for: training\nimage,"))
    with pytest.raises(DataError, match=rf"{told}for a run .* put the data back as it was, or train into an"):
        open_dataset("folder", root, split="train", split_file=path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,split\na.png,train\n", "line 1: expected '# crossfer split 1'"),
        ("# crossfer split 1\n# data: rafdb\nname,part\n", "line 3: expected the header image,split"),
        ("# crossfer split 1\n# data: rafdb\nimage,split\na,dev\n", "line 4: expected an image and one of"),
        ("# crossfer split 1\n# data: rafdb\nimage,split\na,train\na,valid\n", "line 5: lists a twice"),
        (
            "# crossfer split 1\n# data: sfew\nimage,split\na,train\n",
            "expected a split of rafdb",
        ),
    ],
)
def test_bad_split_files_are_named(text: str, message: str, tmp_path: Path):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset("rafdb", write_rafdb(tmp_path / "r"), split="valid", split_file=path)
    with pytest.raises(DataError, match=r"none\.csv: expected a split file, cannot read it \(No such file"):
        read_split_file(tmp_path / "none.csv")


def test_a_split_file_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "split.csv"
    path.write_text(SplitFile("rafdb", "", {"a.png": "train"}).to_text())
    monkeypatch.setattr("crossfer.data.splitfile.MAX_BYTES", path.stat().st_size)
    assert read_split_file(path).split_of == {"a.png": "train"}
    with path.open("a") as file:
        file.write("b.png,train\n")
    with pytest.raises(DataError, match=r"split\.csv: expected a split file of at most 0 MiB"):
        read_split_file(path)


def test_a_stray_quotation_mark_is_named_by_its_line(tmp_path: Path):
    path = tmp_path / "split.csv"
    path.write_text(SplitFile("rafdb", "", {"a.png": "train"}).to_text() + '"' + "b.png,train\n" * 50_000)
    with pytest.raises(
        DataError, match=r"split\.csv, line \d+: expected a line of CSV .*stray quotation mark"
    ):
        read_split_file(path)

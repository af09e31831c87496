"""Data sets are read by several processes: those that were forked, and those that were handed a copy."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossfer.data.names import DatasetName
from crossfer.data.sample import Dataset
from crossfer.data.source import open_dataset
from crossfer.data.synthetic import load_synthetic
from data.layouts import (
    write_affectnet_lists,
    write_class_folders,
    write_folders,
    write_pixel_table,
    write_rafdb,
    write_sfew,
    write_table,
    write_zips,
    zip_folder,
)


def class_folders(root: Path) -> Path:
    return write_class_folders(root / "train", {"happy": 2, "sad": 1}).parent


def zipped_folders(root: Path) -> Path:
    return zip_folder(write_class_folders(root / "faces", {"happy": 2, "sad": 1}), root / "faces.zip")


def pixel_table(root: Path) -> Path:
    write_table(root)
    return write_pixel_table(root)


LAYOUTS: list[tuple[DatasetName, Callable[[Path], Path]]] = [
    ("ferplus", write_folders),
    ("ferplus", write_zips),
    ("ferplus", pixel_table),
    ("rafdb", write_rafdb),
    ("sfew", write_sfew),
    ("affectnet8", write_affectnet_lists),
    ("folder", class_folders),
    ("folder", zipped_folders),
]


@pytest.mark.parametrize(("name", "write"), LAYOUTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_copy_in_another_process_reads_the_same(
    name: DatasetName, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    same(open_dataset(name, write(tmp_path), split="train"))


def test_drawn_faces_are_the_same_in_a_copy() -> None:
    same(load_synthetic(samples=3))


def same(dataset: Dataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert len(copy) == len(dataset) > 0
    for ours, theirs in zip(dataset.samples, copy.samples, strict=True):
        assert ours == theirs
        assert np.array_equal(dataset.read(ours), copy.read(theirs))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_processes_do_not_read_each_others_bytes(tmp_path: Path) -> None:
    faces = write_class_folders(tmp_path / "faces", {"happy": 40}, (64, 64))
    dataset = open_dataset("folder", zip_folder(faces, tmp_path / "faces.zip"), split="train")
    expected = [dataset.read(sample) for sample in dataset.samples]

    def read_all() -> None:
        for _ in range(5):
            for sample, pixels in zip(dataset.samples, expected, strict=True):
                if not np.array_equal(dataset.read(sample), pixels):
                    os._exit(3)

    fork = multiprocessing.get_context("fork")
    readers = [fork.Process(target=read_all) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [reader.exitcode for reader in readers] == [0, 0, 0]

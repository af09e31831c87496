"""What a check finds in copies that are whole, broken, leaking or labelled in another order."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest

from crossfer.data import published
from crossfer.data.check import check_dataset
from crossfer.data.findings import CheckReport
from crossfer.data.published import Published
from crossfer.data.sample import ListingOptions
from crossfer.data.source import SOURCES
from data.layouts import RAFDB_LABELS, picture, save, write_class_folders, write_rafdb, write_sfew, write_zips


def check(name, root: Path, *, near: bool = True) -> CheckReport:
    return check_dataset(
        name, root, ListingOptions("train", "majority", "fer2013new", SOURCES[name].labels), near=near
    )


def kinds(report: CheckReport) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in report.findings}


@pytest.fixture
def tiny_rafdb(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {
        "train": Published((4,), (0, 0, 0, 1, 2, 0, 1)),
        "test": Published((2,), (1, 0, 0, 1, 0, 0, 0)),
    }
    monkeypatch.setitem(published.PUBLISHED, ("rafdb", ""), counts)


@pytest.mark.usefixtures("tiny_rafdb")
def test_a_whole_copy_has_nothing_wrong(tmp_path: Path):
    report = check("rafdb", write_rafdb(tmp_path))
    assert report.findings == ()
    assert not report.fatal
    assert [(s.images, s.labelled, s.published) for s in report.splits] == [(4, 4, (4,)), (2, 2, (2,))]


@pytest.mark.usefixtures("tiny_rafdb")
def test_labels_in_another_order_are_told_from_a_copy_that_is_not_whole(tmp_path: Path):
    path = write_rafdb(tmp_path) / "EmoLabel" / "list_patition_label.txt"
    other = {4: 5, 5: 4}
    path.write_text("".join(f"{name} {other.get(label, label)}\n" for name, label in RAFDB_LABELS.items()))
    report = check("rafdb", tmp_path)
    assert kinds(report)["label order"] == "fatal"
    (tmp_path / "Image" / "aligned" / "train_00001_aligned.jpg").unlink()
    report = check("rafdb", tmp_path)
    assert {f.kind for f in report.findings if f.message.startswith("train")} == {"count"}
    assert kinds(report)["missing"] == "fatal"


@pytest.mark.usefixtures("tiny_rafdb")
def test_what_cannot_be_read_and_what_has_no_label_is_told(tmp_path: Path):
    images = write_rafdb(tmp_path) / "Image" / "aligned"
    (images / "test_0001_aligned.jpg").write_bytes(b"no image")
    save(images / "train_00009_aligned.jpg", picture(77))
    report = check("rafdb", tmp_path)
    assert kinds(report) == {"unreadable": "fatal", "unlisted": "warning"}
    assert "test_0001_aligned.jpg" in report.findings[0].examples[0]


def test_leaks_conflicts_and_repeats_are_counted(tmp_path: Path):
    for split, seeds in (("train", (1, 2, 3, 3)), ("test", (3, 4, 5))):
        for i, seed in enumerate(seeds):
            save(tmp_path / split / "happy" / f"{i}.png", picture(seed, side=48))
    save(tmp_path / "test" / "sad" / "0.png", picture(1, side=48))
    save(tmp_path / "test" / "sad" / "1.png", picture(2, side=48)[:, ::-1])
    report = check("folder", tmp_path)
    train, test = report.splits
    assert (train.repeats, test.repeats) == (1, 0)
    leaks = {(o.split, o.other): (o.identical, o.near) for o in report.overlaps}
    assert leaks == {("train", "test"): (3, 4), ("test", "train"): (2, 3)}
    assert kinds(report)["conflicting labels"] == "warning"
    assert not report.fatal
    groups = {group.images: group.identical for group in report.groups}
    assert groups["train/train/happy/1.png", "test/test/sad/1.png"] is False
    assert groups["train/train/happy/0.png", "test/test/sad/0.png"] is True
    exact = check("folder", tmp_path, near=False).to_dict()
    assert exact["overlaps"][1] == {"split": "test", "other": "train", "identical": 2, "near": None}


def test_a_leak_names_the_part_in_which_the_copies_lie(tmp_path: Path):
    for split in ("valid", "test"):
        save(tmp_path / split / "happy" / "0.png", picture(1, side=48))
    messages = [finding.message for finding in check("folder", tmp_path).findings if finding.kind == "leak"]
    assert len(messages) == 1
    assert messages[0].startswith("test: 1 of 1 images also occur in valid (")


def test_a_class_that_never_occurs_is_told(tmp_path: Path):
    report = check("folder", write_class_folders(tmp_path, {"happy": 1, "sad": 1}))
    (finding,) = report.findings
    assert finding.message.startswith("train: no image of neutral, surprise, anger")


def test_a_class_that_never_occurs_is_told_where_copies_are_known_to_differ(tmp_path: Path):
    rmtree(write_sfew(tmp_path) / "Val" / "Val_Aligned_Faces" / "Fear")
    report = check("sfew", tmp_path)
    assert not report.fatal
    assert [f.message for f in report.findings if f.kind == "empty class"] == [
        "test: no image of fear; nothing can be learnt or said of that"
    ]


def test_people_in_two_splits_are_told(tmp_path: Path):
    rows = ["path,label,split,subject"]
    for i, (split, person) in enumerate((("train", "a"), ("train", "b"), ("test", "b"), ("test", ""))):
        save(tmp_path / f"{i}.png", picture(i))
        rows.append(f"{i}.png,sad,{split},{person}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    report = check("table", tmp_path)
    assert any(f.kind == "subjects" and f.examples == ("b",) for f in report.findings)


def test_images_that_the_protocol_leaves_out_are_compared_too(tmp_path: Path):
    report = check("ferplus", write_zips(tmp_path))
    train, valid, test = report.splits
    assert (train.images, train.labelled) == (3, 2)
    assert (test.images, test.labelled) == (8, 3)
    assert kinds(report)["count"] == "fatal"
    assert np.sum(valid.per_class) == valid.labelled == 1

"""CSV and Parquet: labels by name, votes by class, columns in any order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from crossfer.data.sample import DataError
from crossfer.data.source import open_dataset
from crossfer.labels import FERPLUS, RAFDB, LabelSet, label_set
from data.layouts import picture, save

HEADER = ("Emotion", "file", "subject", "Split")
ROWS = (
    ("Happy", "faces/a.png", "p1", "train"),
    ("sadness", "faces/b.png", "p2", "train"),
    ("Fear", "faces/c.png", "", "val"),
    ("anger", "faces/d.png", "p1", "test"),
)


def write(path: Path, header: tuple[str, ...] = HEADER, rows: tuple[tuple[object, ...], ...] = ROWS) -> Path:
    for name in "abcd":
        save(path.parent / "faces" / f"{name}.png", picture(ord(name)))
    if path.suffix == ".csv":
        path.write_text("\n".join(",".join(map(str, row)) for row in (header, *rows)) + "\n")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow.parquet import write_table

        write_table(pyarrow.table(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))), path)
    return path


SUFFIXES = pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])


@SUFFIXES
def test_labels_splits_and_subjects(name: str, tmp_path: Path):
    path = write(tmp_path / name)
    for root in (path, tmp_path):  # the table, or the folder that holds it alone
        train = open_dataset("table", root, split="train")
        found = [(s.name, FERPLUS.expressions[s.label], s.subject, s.votes) for s in train.samples]
        assert found == [("faces/a.png", "happiness", "p1", None), ("faces/b.png", "sadness", "p2", None)]
        assert np.array_equal(train.read(train.samples[0]), picture(ord("a")))
        assert [s.subject for s in open_dataset("table", root, split="valid").samples] == [None]
        assert train.protocol == "labels in column Emotion"


@SUFFIXES
def test_a_subject_may_be_the_number_0(name: str, tmp_path: Path):
    rows = (("faces/a.png", "sad", 0), ("faces/b.png", "sad", 1))
    dataset = open_dataset("table", write(tmp_path / name, ("path", "label", "subject"), rows))
    assert [sample.subject for sample in dataset.samples] == ["0", "1"]


@SUFFIXES
def test_votes_are_normalised_and_the_most_wins(name: str, tmp_path: Path):
    rows = ((0, 3, "faces/a.png", 1), (2.5, 0, "faces/b.png", 2.5))
    path = write(tmp_path / name, ("Sad", "happiness", "path", "neutral"), rows)
    dataset = open_dataset("table", path, classes=label_set("neutral,happiness,sadness"))
    votes = np.array([sample.votes for sample in dataset.samples])
    np.testing.assert_allclose(votes, [[0.25, 0.75, 0], [0.5, 0, 0.5]])
    assert [sample.label for sample in dataset.samples] == [1, 0]
    assert dataset.protocol == "most votes in columns neutral, happiness, Sad"


def test_every_class_needs_its_votes_where_there_is_no_label(tmp_path: Path):
    header = ("path", *FERPLUS.expressions)
    row = ("faces/a.png", 0, 1, 0, 9, 0, 0, 0, 0)
    for wrong, told in (
        (("sadnes",), r"sadness \(sadnes\?\)"),
        (("Sadd",), r"sadness \(Sadd\?\)"),
        ((), "sadness;"),
    ):
        columns = (*header[:4], *wrong, *header[5:])
        path = write(tmp_path / "t.csv", columns, (row[: len(columns)],))
        with pytest.raises(DataError, match=rf"votes for each of the 8 classes, found none for {told}"):
            open_dataset("table", path)


def test_beside_labels_only_votes_for_every_class_count(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label", "neutral"), (("faces/a.png", "sad", 0.7),))
    dataset = open_dataset("table", path)
    assert (dataset.samples[0].votes, dataset.protocol) == (None, "labels in column label")
    path = write(tmp_path / "t.csv", ("path", "label", "sad", "fear"), (("faces/a.png", "sad", 3, 1),))
    dataset = open_dataset("table", path, classes=label_set("fear,sadness"))
    assert dataset.samples[0].votes == (0.25, 0.75)
    assert dataset.protocol == "labels in column label, votes in columns fear, sad"


def test_votes_for_a_class_in_another_unicode_form(tmp_path: Path):
    composed, decomposed = "m\u00fcde", "mu\u0308de"
    for column, own in ((composed, decomposed), (decomposed, composed)):
        path = write(tmp_path / "t.csv", ("path", "froh", column), (("faces/a.png", 1, 3),))
        dataset = open_dataset("table", path, classes=LabelSet("own", ("froh", own)))
        assert dataset.samples[0].votes == (0.25, 0.75)


def test_votes_for_no_class_are_not_dropped_unseen(tmp_path: Path):
    rows = (("faces/a.png", 1, 0, 0, 9),)
    path = write(tmp_path / "t.csv", ("path", "sad", "fear", "unknown", "NF"), rows)
    with pytest.raises(DataError, match=r"found unknown and NF as FER\+ has them.* as the data set ferplus"):
        open_dataset("table", path, classes=label_set("fear,sadness"))
    path = write(tmp_path / "t.csv", ("path", "sad", "fear", "unknown"), (rows[0][:4],))
    three = open_dataset("table", path, classes=label_set("fear,sadness,unknown"))
    assert three.samples[0].votes == (0, 1, 0)


def test_a_missing_image_is_named_with_its_line(tmp_path: Path):
    rows = (("faces/a.png", "sad"), ("faces\\b.png", "sad"), ("faces/z.png", "sad"))
    path = write(tmp_path / "t.csv", ("path", "label"), rows)
    place = re.escape(f"{tmp_path}/faces\\b.png")
    told = rf"t\.csv, line 3: no image {place}; write / between folders \(2 of the 3"
    with pytest.raises(DataError, match=told):
        open_dataset("table", path)
    dataset = open_dataset("table", path, skip_bad=True)
    assert (len(dataset), len(dataset.skipped)) == (1, 2)
    assert dataset.skipped[1].startswith(f"{path}, line 4: no image {tmp_path}/faces/z.png (2 of the 3")


def test_a_row_of_other_length_counts(tmp_path: Path):
    path = write(
        tmp_path / "t.csv", ("path", "label"), (("x",), ("faces/a.png", "sad"), ("faces/b.png", "?"))
    )
    skipped = open_dataset("table", path, skip_bad=True).skipped
    assert [line.partition(": ")[0] for line in skipped] == [f"{path}, line 2", f"{path}, line 4"]


def test_a_row_of_csv_is_told_by_the_line_that_an_editor_shows(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label", "note"), (("faces/a.png", "sad", '"two\n\nlines"'),))
    path.write_text(path.read_text() + '\nfaces/b.png,bored,"two\nlines"\nfaces/c.png\n')
    skipped = open_dataset("table", path, skip_bad=True).skipped
    assert [line.partition(": ")[0] for line in skipped] == [f"{path}, line 6", f"{path}, line 8"]
    path = write(tmp_path / "t.parquet", ("path", "label"), (("faces/a.png", "sad"), ("faces/b.png", "?")))
    with pytest.raises(DataError, match=r"t\.parquet, row 2: unknown expression '\?'"):
        open_dataset("table", path)


def test_numbers_need_an_order(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label"), (("faces/a.png", 3), ("faces/b.png", 0)))
    with pytest.raises(DataError, match=r"t\.csv, line 2: expected a label by name .* found the number 3"):
        open_dataset("table", path)
    dataset = open_dataset("table", path, classes=RAFDB, numbered=True)
    assert [RAFDB.expressions[s.label] for s in dataset.samples] == ["happiness", "surprise"]
    path.write_text(path.read_text().replace("3", "7"))
    with pytest.raises(DataError, match=r"label of 0 to 6 \(0 is surprise\), found 7; if yours count from 1"):
        open_dataset("table", path, classes=RAFDB, numbered=True)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_whole_numbers_with_a_point_are_numbers(name: str, tmp_path: Path):
    path = write(tmp_path / name, ("path", "label"), (("faces/a.png", 3.0), ("faces/b.png", 0.0)))
    with pytest.raises(DataError, match=r"expected a label by name .* found the number 3, which"):
        open_dataset("table", path)
    dataset = open_dataset("table", path, classes=RAFDB, numbered=True)
    assert [RAFDB.expressions[s.label] for s in dataset.samples] == ["happiness", "surprise"]
    part = write(tmp_path / f"part-{name}", ("path", "label"), (("faces/a.png", 2.5),))
    with pytest.raises(DataError, match=r"unknown expression '2\.5'"):
        open_dataset("table", part, classes=RAFDB, numbered=True)


@SUFFIXES
@pytest.mark.parametrize("numbered", [False, True])
def test_a_number_that_a_class_has_for_its_name_is_that_class(numbered: bool, name: str, tmp_path: Path):
    scale = label_set("0,1,10,2")  # as folders of a scale of 0 to 10 are sorted
    rows = tuple((f"faces/{face}.png", grade) for face, grade in zip("abcd", (2, 10, 0, 1), strict=True))
    path = write(tmp_path / name, ("path", "label"), rows)
    dataset = open_dataset("table", path, classes=scale, numbered=numbered)
    assert [scale.expressions[sample.label] for sample in dataset.samples] == ["2", "10", "0", "1"]
    path = write(tmp_path / name, ("path", "label"), (("faces/a.png", 10.0), ("faces/b.png", 2.0)))
    dataset = open_dataset("table", path, classes=scale, numbered=numbered)
    assert [scale.expressions[sample.label] for sample in dataset.samples] == ["10", "2"]


@pytest.mark.parametrize("classes", ["1,2,4", "none,1", "-1,0,+1", "0.5,1.5", ".5,.6"])
def test_beside_a_class_with_a_number_for_its_name_no_number_is_a_position(classes: str, tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label"), (("faces/a.png", "3.0"), ("faces/b.png", 2)))
    with pytest.raises(DataError, match=r"line 2: unknown expression '3' .* expected one of "):
        open_dataset("table", path, classes=label_set(classes), numbered=True)


def test_a_table_of_bad_rows_alone_says_what_is_wrong_with_the_first(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label"), (("faces/a.png", "x"), ("faces/b.png", "y")))
    with pytest.raises(
        DataError, match=r"found none that can be used; the first fault: .*t\.csv, line 2: .*'x'"
    ):
        open_dataset("table", path, skip_bad=True)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (
            ("picture", "label"),
            ("faces/a.png", "sad"),
            "expected a header with a column path",
        ),
        (("path", "mood"), ("faces/a.png", "sad"), "expected a column label, .*or a column of votes"),
        (
            ("path", "label"),
            ("faces/a.png", "bored"),
            "line 2: unknown expression 'bored' .*with --classes, in",
        ),
        (("path", "label"), ("faces/a.png", "sad", "x"), "line 2: expected 2 cells, found 3"),
        (("path", "label"), ('"' + "x" * 200_000, "sad"), r"t\.csv, line 2: expected a line of CSV"),
        (("path", "label"), ('"faces/a.png', "sad\nb.png,sad"), r"t\.csv, line 2: expected a line of CSV"),
        (("path", "label"), ('"faces"/a.png', "sad"), r"t\.csv, line 2: expected a line of CSV"),
        (("path", "label"), ("", "sad"), "line 2: expected a path in column path, found nothing"),
        (("path", "label"), ("faces/z.png", "sad"), r"t\.csv, line 2: no image .*faces/z\.png \(1 of the 1"),
        (("path", *FERPLUS.expressions), ("faces/a.png", *[0] * 8), "line 2: expected a vote for one of"),
        (
            ("path", *FERPLUS.expressions),
            ("faces/a.png", -1, *[0] * 7),
            "expected votes from 0 up in column neutral",
        ),
        (("path", "label", "split"), ("faces/a.png", "sad", "dev"), "expected a split such as train"),
        (("path", "label", "label"), ("faces/a.png", "sad", "fear"), "expected one column label, found 2 of"),
        (("path", "label", "Label"), ("faces/a.png", "sad", "fear"), "expected one column label, found 2 of"),
        (("path", "path", "label"), ("faces/a.png", "faces/b.png", "sad"), "expected one column path"),
        (
            ("path", *FERPLUS.expressions, "sadness"),
            ("faces/a.png", *[1] * 9),
            "expected one column sadness, found 2 of",
        ),
        (
            ("path", *FERPLUS.expressions, "Happy"),
            ("faces/a.png", *[0] * 7, 1, 9),
            "expected one column of votes for happiness, found happiness and Happy; leave one",
        ),
    ],
)
def test_bad_tables_are_named(header, row, message: str, tmp_path: Path):
    path = write(tmp_path / "t.csv", header, (row,))
    with pytest.raises(DataError, match=message):
        open_dataset("table", path)


def test_a_path_listed_twice_and_a_missing_split_are_named(tmp_path: Path):
    path = write(tmp_path / "t.csv", rows=(*ROWS, ROWS[0]))
    told = r"t\.csv, line 6: lists faces/a\.png twice, first in line 2; leave one"
    with pytest.raises(DataError, match=told):
        open_dataset("table", path, split="train")
    assert len(open_dataset("table", path, split="train", skip_bad=True)) == 2
    path = write(tmp_path / "t.csv", rows=ROWS[:1])
    told = r"a table of images has no test split here; cut one from train with 'crossfer data split table .*"
    with pytest.raises(DataError, match=rf"{told}t\.csv --test 0\.1 -o split\.csv'"):
        open_dataset("table", path)
    own = rf'{told}t\.csv --classes "happiness, my own" --test 0\.1 -o split\.csv'
    with pytest.raises(DataError, match=own):
        open_dataset("table", path, classes=label_set("happy, my own"))


def test_absolute_paths_and_a_broken_parquet(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("path", "label"), ((tmp_path / "faces" / "a.png", "sad"),))
    dataset = open_dataset("table", path)
    assert dataset.samples[0].name == "faces/a.png"
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"expected one table \(.csv or .parquet\), found t.csv, t.parquet"):
        open_dataset("table", tmp_path)
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="expected a whole Parquet file"):
        open_dataset("table", tmp_path / "t.parquet")


def test_parquet_without_its_reader_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'needs pyarrow: pip install "\.\[data\]" in a checkout'):
        open_dataset("table", path)


def test_columns_that_are_not_used_may_repeat(tmp_path: Path):
    path = write(tmp_path / "t.csv", ("note", "path", "label", "note"), (("x", "faces/a.png", "sad", "y"),))
    assert len(open_dataset("table", path)) == 1


def test_parquet_with_lists_and_with_the_images_themselves(tmp_path: Path):
    rows = (("faces/a.png", "sad", [1.0, 2.0]), ("faces/b.png", "happy", []))
    path = write(tmp_path / "t.parquet", ("path", "label", "landmarks"), rows)
    assert len(open_dataset("table", path)) == 2
    for held in ({"bytes": b"x", "path": "a.png"}, b"x"):
        write(path, ("image", "label"), ((held, "sad"),))
        with pytest.raises(DataError, match=r"t\.parquet: expected text .* image, found .*write their paths"):
            open_dataset("table", path)
    write(path, ("path", "label"), (("faces/a.png", ["sad"]),))
    with pytest.raises(DataError, match="expected text or numbers in column label, found list<"):
        open_dataset("table", path)

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args
from zipfile import ZipFile

import numpy as np
import pytest

from crossfer.data.ferplus import list_ferplus
from crossfer.data.names import LabelVersion, Protocol, Split
from crossfer.data.sample import DataError, Faults, ListingOptions
from crossfer.data.source import open_dataset
from crossfer.labels import FERPLUS
from data.layouts import ROWS, Row, grey, write_folders, write_pixel_table, write_table, write_zips
from reference import ferplus_protocol

Write = Callable[..., Path]
LAYOUTS = pytest.mark.parametrize("write", [write_folders, write_zips, write_pixel_table])


def names(dataset) -> list[str]:
    return [Path(sample.path).name for sample in dataset.samples]


def expressions(dataset) -> dict[str, str]:
    return {Path(sample.path).name: dataset.labels.expressions[sample.label] for sample in dataset.samples}


# ---- protocols ----


@LAYOUTS
def test_majority_keeps_more_than_half_of_what_the_outlier_rule_leaves(write: Write, tmp_path: Path):
    dataset = open_dataset("ferplus", write(tmp_path), split="test")
    assert expressions(dataset) == {
        "fer0000005.png": "surprise",
        "fer0000008.png": "neutral",
        "fer0000011.png": "contempt",
    }
    assert dataset.protocol == "majority/fer2013new"
    assert dataset.labels is FERPLUS
    assert dataset.skipped == ()
    assert {sample.split for sample in dataset.samples} == {"test"}


@LAYOUTS
def test_argmax_takes_the_first_of_tied_columns(write: Write, tmp_path: Path):
    dataset = open_dataset("ferplus", write(tmp_path), split="test", protocol="argmax")
    assert expressions(dataset) == {
        "fer0000004.png": "happiness",
        "fer0000005.png": "surprise",
        "fer0000007.png": "sadness",
        "fer0000008.png": "neutral",
        "fer0000009.png": "neutral",
        "fer0000011.png": "contempt",
    }


@LAYOUTS
def test_splits(write: Write, tmp_path: Path):
    write(tmp_path)
    assert names(open_dataset("ferplus", tmp_path, split="train")) == ["fer0000001.png", "fer0000002.png"]
    assert names(open_dataset("ferplus", tmp_path, split="valid")) == ["fer0000003.png"]


def test_votes_are_normalised_after_the_outlier_rule(tmp_path: Path):
    dataset = open_dataset("ferplus", write_folders(tmp_path), split="test", protocol="argmax")
    votes = dict(zip(names(dataset), [sample.votes for sample in dataset.samples], strict=True))
    assert votes["fer0000005.png"] == (0, 0, 5 / 8, 3 / 8, 0, 0, 0, 0)
    assert votes["fer0000007.png"] == (0, 0, 0, 1, 0, 0, 0, 0)
    assert votes["fer0000009.png"] == (1 / 8,) * 8


@pytest.mark.parametrize("write", [write_folders, write_zips])
def test_label_csv_has_votes_of_its_own(write: Write, tmp_path: Path):
    dataset = open_dataset("ferplus", write(tmp_path), split="test", label_version="label-csv")
    assert expressions(dataset)["fer0000008.png"] == "sadness"
    assert dataset.protocol == "majority/label-csv"


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_random_votes_as_in_the_loop_version(protocol: Protocol, tmp_path: Path):
    rng = np.random.default_rng(0)
    votes = [rng.multinomial(rng.integers(0, 11), rng.dirichlet(np.full(10, 0.4))) for _ in range(400)]
    rows = [Row("Training", f"fer{i:07d}.png", tuple(map(int, v))) for i, v in enumerate(votes)]
    dataset = open_dataset("ferplus", write_zips(tmp_path, rows), split="train", protocol=protocol)
    rule = getattr(ferplus_protocol, protocol)
    kept = {
        row.name: (rule(row.votes), ferplus_protocol.soft_label(row.votes))
        for row in rows
        if rule(row.votes) is not None
    }
    assert 50 < len(kept) < 390
    assert names(dataset) == list(kept)
    for sample, (label, shares) in zip(dataset.samples, kept.values(), strict=True):
        assert sample.label == label
        assert sample.votes == pytest.approx(shares)


# ---- images ----


@LAYOUTS
def test_pixels(write: Write, tmp_path: Path):
    dataset = open_dataset("ferplus", write(tmp_path), split="test", protocol="argmax")
    for sample in dataset.samples:
        pixels = dataset.read(sample)
        assert pixels.shape == (48, 48, 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, np.repeat(grey(Path(sample.path).name)[:, :, None], 3, axis=2))


@LAYOUTS
def test_threads_read_what_one_thread_reads(write: Write, tmp_path: Path):
    rows = [Row("Training", f"fer{i:07d}.png", (9, 0, 0, 0, 0, 0, 0, 0, 0, 1)) for i in range(60)]
    dataset = open_dataset("ferplus", write(tmp_path, rows), split="train")
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(dataset.read, dataset.samples * 5))
    for sample, pixels in zip(dataset.samples * 5, together, strict=True):
        assert np.array_equal(pixels[:, :, 0], grey(Path(sample.path).name))


@LAYOUTS
def test_the_later_row_of_a_repeated_name_counts(write: Write, tmp_path: Path):
    happy, sad = (0, 9, 0, 0, 0, 0, 0, 0, 0, 1), (0, 0, 0, 9, 0, 0, 0, 0, 0, 1)
    nobody = (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)
    rows = [
        Row("PrivateTest", "fer0000001.png", happy),
        Row("PrivateTest", "fer0000002.png", happy),
        Row("PrivateTest", "fer0000001.png", sad),
        Row("PrivateTest", "fer0000002.png", nobody),
    ]
    assert expressions(open_dataset("ferplus", write(tmp_path, rows), split="test")) == {
        "fer0000001.png": "sadness"
    }


def test_the_pixels_of_a_repeated_name_are_those_of_the_later_row(tmp_path: Path):
    rows = [Row("Training", "fer0000001.png", (9,) + (0,) * 9)] * 2
    write_pixel_table(tmp_path, rows)
    text = (tmp_path / "fer2013.csv").read_text().splitlines()
    text[2] = f"0,{' '.join(['7'] * 48 * 48)},Training"
    (tmp_path / "fer2013.csv").write_text("\n".join(text))
    dataset = open_dataset("ferplus", tmp_path, split="train")
    assert len(dataset) == 1
    assert np.all(dataset.read(dataset.samples[0]) == 7)


# ---- what is wrong with the data ----


def test_a_wrong_root_says_what_was_sought_and_found(tmp_path: Path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(
        DataError, match=r"FER2013Test, a file FER2013Test\.zip, or a file fer2013\.csv, found holiday\.jpg"
    ):
        open_dataset("ferplus", tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        open_dataset("ferplus", tmp_path / "nowhere")


def test_missing_label_tables(tmp_path: Path):
    write_folders(tmp_path)
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match=r"expected the label table fer2013new\.csv, found FER2013Test"):
        open_dataset("ferplus", tmp_path)
    (tmp_path / "FER2013Test" / "label.csv").unlink()
    with pytest.raises(DataError, match=r"FER2013Test/label\.csv: no such file"):
        open_dataset("ferplus", tmp_path, label_version="label-csv")


def test_the_pixel_table_has_no_label_csv(tmp_path: Path):
    with pytest.raises(DataError, match=r"label\.csv: no such file; use the labels 'fer2013new'"):
        open_dataset("ferplus", write_pixel_table(tmp_path), label_version="label-csv")


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ({"split": "dev"}, get_args(Split)),
        ({"protocol": "soft"}, get_args(Protocol)),
        ({"label_version": "mine"}, get_args(LabelVersion)),
    ],
)
def test_unknown_options_name_the_allowed_ones(option, allowed, tmp_path: Path):
    with pytest.raises(ValueError, match=f"unknown .* expected one of {', '.join(allowed)}"):
        open_dataset("ferplus", tmp_path, **option)


def test_an_unknown_data_set_names_those_that_are_known(tmp_path: Path):
    with pytest.raises(ValueError, match=r"unknown data set 'fer2013'; expected one of ferplus, rafdb, "):
        open_dataset("fer2013", tmp_path)


def break_line(path: Path, line: int, text: str) -> str:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    return re.escape(f"{path}, line {line}: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PrivateTest,fer0000005.png,0,0,5", "expected 12 columns, found 5"),
        ("", "expected 12 columns, found 0"),
        ("PrivateTest,fer0000005.png,0,0,5,3,1,1,0,0,0,0,0", "expected 12 columns, found 13"),
        (
            "Exam,fer0000005.png,0,0,5,3,1,1,0,0,0,0",
            "usage of Training, PublicTest, PrivateTest, found 'Exam'",
        ),
        (
            "PrivateTest,fer0000005.png,0,0,5.0,3,1,1,0,0,0,0",
            "whole number of votes for surprise, found '5.0'",
        ),
        (
            "PrivateTest,fer0000005.png,0,-2,5,3,1,1,0,0,0,0",
            "whole number of votes for happiness, found '-2'",
        ),
        ("PrivateTest,fer0000099.png,9,0,0,0,0,0,0,0,0,1", "no image 'fer0000099.png'"),
    ],
)
def test_a_bad_row_names_file_and_line(text: str, reason: str, tmp_path: Path):
    write_folders(tmp_path)
    where = break_line(tmp_path / "fer2013new.csv", 8, text)
    with pytest.raises(DataError, match=where + ".*" + re.escape(reason)):
        open_dataset("ferplus", tmp_path)
    dataset = open_dataset("ferplus", tmp_path, skip_bad=True)
    assert names(dataset) == ["fer0000008.png", "fer0000011.png"]
    assert len(dataset.skipped) == 1
    assert re.match(where + ".*" + re.escape(reason), dataset.skipped[0])


@pytest.mark.parametrize("text", ["fer0000005.png,box,1,2", "fer0000005.png,box,x,0,5,3,1,1,0,0,0,0"])
def test_a_bad_row_of_label_csv_names_file_and_line(text: str, tmp_path: Path):
    write_folders(tmp_path)
    where = break_line(tmp_path / "FER2013Test" / "label.csv", 2, text)
    with pytest.raises(DataError, match=where):
        open_dataset("ferplus", tmp_path, label_version="label-csv")
    assert len(open_dataset("ferplus", tmp_path, label_version="label-csv", skip_bad=True).skipped) == 1


def test_other_columns_are_refused_even_when_bad_rows_are_skipped(tmp_path: Path):
    write_folders(tmp_path)
    header = "Usage,Image name,happiness,neutral,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    where = break_line(tmp_path / "fer2013new.csv", 1, header)
    with pytest.raises(DataError, match=where + "expected the header Usage,Image name,neutral,happiness"):
        open_dataset("ferplus", tmp_path, skip_bad=True)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path):
    write_folders(tmp_path)
    path = tmp_path / "fer2013new.csv"
    path.write_bytes(path.read_bytes().replace(b"PublicTest", b"Public\xff\xfe"))
    with pytest.raises(DataError, match=r"fer2013new\.csv, line 6: expected UTF-8"):
        open_dataset("ferplus", tmp_path)


@pytest.mark.parametrize("write", [write_folders, write_zips])
def test_a_missing_image_of_a_row_that_is_not_kept_changes_nothing(write: Write, tmp_path: Path):
    write(tmp_path, [row for row in ROWS if row.name != "fer0000006.png"])
    write_table(tmp_path, ROWS)
    assert len(open_dataset("ferplus", tmp_path)) == 3


@pytest.mark.parametrize("write", [write_folders, write_zips])
def test_an_image_that_no_row_describes_is_told(write: Write, tmp_path: Path):
    write(tmp_path)
    stray = next(row.name for row in ROWS if row.usage == "Training" and row.name)
    write_table(tmp_path, [row for row in ROWS if row.name != stray])
    faults = Faults(skip=False)
    list_ferplus(tmp_path, ListingOptions("train", "majority", "fer2013new", FERPLUS), faults)
    assert [Path(path).name for path in faults.unlisted] == [stray]


@pytest.mark.parametrize("content", [b"", b"no image", "truncated"])
def test_an_image_that_cannot_be_decoded(content: bytes | str, tmp_path: Path):
    write_folders(tmp_path)
    path = tmp_path / "FER2013Test" / "fer0000008.png"
    path.write_bytes(path.read_bytes()[:300] if isinstance(content, str) else content)
    dataset = open_dataset("ferplus", tmp_path)
    with pytest.raises(DataError, match=re.escape(f"{path}: expected ")):
        dataset.read(dataset.samples[1])
    skipping = open_dataset("ferplus", tmp_path, skip_bad=True)
    assert names(skipping) == ["fer0000005.png", "fer0000011.png"]
    assert [line.split(": ")[0] for line in skipping.skipped] == [str(path)]


def test_an_image_that_vanishes_is_named(tmp_path: Path):
    dataset = open_dataset("ferplus", write_folders(tmp_path))
    Path(dataset.samples[0].path).unlink()
    with pytest.raises(DataError, match=r"fer0000005\.png: no such file"):
        dataset.read(dataset.samples[0])


@pytest.mark.parametrize("folder", ["", "fer/"])
def test_a_pixel_table_in_a_zip_is_to_be_unpacked(folder: str, tmp_path: Path):
    write_pixel_table(tmp_path)
    with ZipFile(tmp_path / "fer.zip", "w") as archive:
        for name in ("fer2013.csv", "fer2013new.csv"):
            archive.write(tmp_path / name, f"{folder}{name}")
    with pytest.raises(DataError, match=r"fer\.zip: .* found it in a zip, .*; unpack the zip and name the"):
        open_dataset("ferplus", tmp_path / "fer.zip")


def test_a_truncated_zip_is_named(tmp_path: Path):
    write_zips(tmp_path)
    path = tmp_path / "FER2013Test.zip"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"FER2013Test\.zip: expected a whole zip file"):
        open_dataset("ferplus", tmp_path)


@pytest.mark.parametrize("damage", [b"\x00", b"\xff"])  # a wrong checksum, a stream that cannot be inflated
def test_a_damaged_member_of_a_zip_is_named(damage: bytes, tmp_path: Path):
    write_zips(tmp_path)
    path = tmp_path / "FER2013Test.zip"
    with ZipFile(path) as archive:
        start = archive.getinfo("FER2013Test/fer0000005.png").header_offset
    content = bytearray(path.read_bytes())
    content[start + 60 : start + 300] = 240 * damage
    path.write_bytes(content)
    dataset = open_dataset("ferplus", tmp_path)
    with pytest.raises(DataError, match=r"FER2013Test\.zip/FER2013Test/fer0000005\.png: cannot be unpacked"):
        dataset.read(dataset.samples[0])
    assert len(open_dataset("ferplus", tmp_path, skip_bad=True).skipped) == 1


@pytest.mark.parametrize("pixels", ["1 2 3", " ".join(["256"] * 2304), " ".join(["x"] * 2304), ""])
def test_bad_pixels_name_file_and_line(pixels: str, tmp_path: Path):
    write_pixel_table(tmp_path)
    where = break_line(tmp_path / "fer2013.csv", 8, f"0,{pixels},PrivateTest")
    dataset = open_dataset("ferplus", tmp_path)
    with pytest.raises(DataError, match=where + "expected 2304 grey values"):
        dataset.read(dataset.samples[0])
    assert len(open_dataset("ferplus", tmp_path, skip_bad=True).skipped) == 1


def test_pixel_tables_of_another_order_or_length_are_refused(tmp_path: Path):
    write_pixel_table(tmp_path)
    write_table(tmp_path, [*ROWS[:6], replace(ROWS[4], name="fer0000012.png"), *ROWS[7:]])
    with pytest.raises(DataError, match=r"fer2013\.csv, line 8: no test row on this line of the label table"):
        open_dataset("ferplus", tmp_path)
    with pytest.raises(
        DataError, match=r"fer2013new\.csv, line 8: no valid row on this line of .*fer2013\.csv"
    ):
        open_dataset("ferplus", tmp_path, split="valid")
    write_table(tmp_path, ROWS[:-1])
    with pytest.raises(DataError, match=r"fer2013\.csv, line 15: no test row"):
        open_dataset("ferplus", tmp_path)
    write_table(tmp_path, [*ROWS, ROWS[-1]])
    with pytest.raises(DataError, match=r"fer2013new\.csv, line 16: no test row"):
        open_dataset("ferplus", tmp_path)


def test_a_pixel_table_with_other_columns_is_refused(tmp_path: Path):
    write_pixel_table(tmp_path)
    where = break_line(tmp_path / "fer2013.csv", 1, "pixels,emotion,Usage")
    with pytest.raises(DataError, match=where + "expected the header emotion,pixels,Usage"):
        open_dataset("ferplus", tmp_path)


def test_quoted_pixels_are_read(tmp_path: Path):
    write_pixel_table(tmp_path)
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    quoted = [lines[0], *('{},"{}",{}'.format(*line.split(",")) for line in lines[1:])]
    (tmp_path / "fer2013.csv").write_text("\r\n".join(quoted))
    dataset = open_dataset("ferplus", tmp_path)
    assert np.array_equal(dataset.read(dataset.samples[0])[:, :, 2], grey("fer0000005"))


# ---- the real thing ----


@pytest.mark.parametrize(
    ("protocol", "labels", "counts"),
    [
        ("majority", "fer2013new", (25_057, 3_199, 3_152)),
        ("majority", "label-csv", (25_045, 3_191, 3_137)),
        ("argmax", "fer2013new", (28_386, 3_553, 3_545)),
    ],
)
def test_published_counts(
    ferplus_root: Path, protocol: Protocol, labels: LabelVersion, counts: tuple[int, int, int]
):
    for split, count in zip(get_args(Split), counts, strict=True):
        assert (
            len(open_dataset("ferplus", ferplus_root, split=split, protocol=protocol, label_version=labels))
            == count
        )


def test_published_counts_from_the_pixel_table(ferplus_root: Path, tmp_path: Path):
    (tmp_path / "fer2013new.csv").symlink_to(ferplus_root / "fer2013new.csv")
    usages = [line.split(",")[0] for line in (ferplus_root / "fer2013new.csv").read_text().splitlines()[1:]]
    assert len(usages) == 35_887
    lines = ["emotion,pixels,Usage", *(f"0,0 0 0,{usage}" for usage in usages)]  # counting reads no pixels
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    for split, count in zip(get_args(Split), (25_057, 3_199, 3_152), strict=True):
        assert len(open_dataset("ferplus", tmp_path, split=split)) == count


def test_published_class_counts(ferplus_root: Path):
    counts = Counter(sample.label for sample in open_dataset("ferplus", ferplus_root, split="test").samples)
    assert [counts[k] for k in range(8)] == [1089, 893, 396, 384, 273, 18, 83, 16]


def test_every_real_test_image_is_48_by_48_in_the_zip_and_unpacked(ferplus_root: Path, tmp_path: Path):
    with ZipFile(ferplus_root / "FER2013Test.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "fer2013new.csv").symlink_to(ferplus_root / "fer2013new.csv")
    zipped = open_dataset("ferplus", ferplus_root, protocol="argmax")
    unpacked = open_dataset("ferplus", tmp_path, protocol="argmax", skip_bad=True)
    assert unpacked.skipped == ()
    for one, other in zip(zipped.samples, unpacked.samples, strict=True):
        assert (one.label, one.votes) == (other.label, other.votes)
        pixels = zipped.read(one)
        assert pixels.shape == (48, 48, 3)
        assert np.array_equal(pixels, unpacked.read(other))


@pytest.mark.parametrize(
    ("file", "labels"), [("fer2013new.csv", "fer2013new"), ("FER2013Test/label.csv", "label-csv")]
)
def test_a_stray_quotation_mark_is_named_by_its_line(file: str, labels: LabelVersion, tmp_path: Path):
    with (write_folders(tmp_path) / file).open("a") as table:
        table.write('"' + "0,0\n" * 50_000)
    with pytest.raises(DataError, match=rf"{file}, line \d+: expected a line of CSV .*stray quotation mark"):
        open_dataset("ferplus", tmp_path, label_version=labels, skip_bad=True)

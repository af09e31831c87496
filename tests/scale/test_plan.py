from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import ParquetFile

from crossfer.scale import plan as planning
from crossfer.scale.entries import Entry, from_table, to_table
from crossfer.scale.faults import ScoreError
from crossfer.scale.plan import Plan, cut, shard_length, write_plan


def files(count: int) -> list[Entry]:
    return [Entry("file", b"/x/%05d.png" % n, size=n, stamp=str(n)) for n in range(count)]


def written(folder: Path, entries: list[Entry], longest: int = 100) -> Plan:
    folder.mkdir()
    write_plan(folder, entries, longest)
    return Plan(folder)


def test_a_table_holds_entries_as_they_are():
    entries = [
        *files(2),
        Entry("tar", b"\xff.tar", b"\xfe", 512, None, 3, "1", None, None),
        Entry("fault", b"x"),
    ]
    assert from_table(to_table(entries)) == entries
    assert from_table(to_table([])) == []


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 50))
def test_every_entry_is_in_one_shard_and_a_stream_is_alone(streams, longest):
    entries = [Entry("stream" if alone else "file", b"%d" % n) for n, alone in enumerate(streams)]
    shards = list(cut(entries, longest))
    assert [entry for shard in shards for entry in shard] == entries
    for number, shard in enumerate(shards):
        assert 1 <= len(shard) <= shard_length(number, longest)
        assert len(shard) == 1 or all(entry.kind == "file" for entry in shard)


def test_a_plan_is_read_as_it_was_written_from_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SHARDS_A_FILE", 3)
    entries = files(1000)
    plan = written(tmp_path / "plan", entries, longest=40)
    shards = list(plan.shards())
    assert len(list((tmp_path / "plan").glob("0*.parquet"))) > 5
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert [shard.first for shard in shards] == np.cumsum([0, *plan.lengths()])[:-1].tolist()
    assert [entry for shard in shards for entry in from_table(shard.entries)] == entries
    assert [shard.number for shard in plan.shards({0, 2, 5}.__contains__)][:4] == [1, 3, 4, 6]


def test_what_was_named_before_is_found(tmp_path):
    entries = [
        *files(50),
        Entry("file", b"/x/00003.png"),
        Entry("file", b"/x/00049.png"),
        Entry("zip", b"/x/a.zip", b"m", 0),
        Entry("zip", b"/x/a.zip", b"m", 0),
        Entry("file", b"/x/00003.png"),
        Entry("zip", b"/x/a.zip", b"m", 1),  # another image of the same name
        Entry("tar", b"/x/a.tar", b"m", 512),
        Entry("tar", b"/x/a.tar", b"m", 2048),
    ]
    plan = written(tmp_path / "plan", entries)
    assert [copy for shard in plan.shards() for copy in shard.copies] == [
        (50, 3),
        (51, 49),
        (53, 52),
        (54, 3),
    ]
    extent = write_plan(tmp_path / "plan", entries, 100)
    assert extent.copies == 4


def test_halves_keep_their_numbers(tmp_path):
    *_, shard = written(tmp_path / "plan", files(105)).shards()
    left, right = shard.halves()
    assert (left.number, right.number) == (shard.number,) * 2
    assert (left.first, right.first) == (shard.first, shard.first + len(left))
    assert from_table(left.entries) + from_table(right.entries) == from_table(shard.entries)


def test_a_shard_is_a_row_group(tmp_path):
    written(tmp_path / "plan", files(100))
    assert ParquetFile(tmp_path / "plan" / "00000.parquet").num_row_groups == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries[:-1], r"image 69 was /x/00069.png and is gone"),
        (
            lambda entries: [*entries, Entry("file", b"/x/new.png")],
            r"image 70 was not there and is /x/new.png",
        ),
        (lambda entries: [*entries[:40], *entries[41:]], r"image 40 was /x/00040.png and is /x/00041.png"),
        (lambda entries: [*entries[:3], entries[3]._replace(size=9), *entries[4:]], "image 3 .* had 3 bytes"),
        (
            lambda entries: [*entries[:3], entries[3]._replace(stamp="9"), *entries[4:]],
            "image 3 .* was changed",
        ),
    ],
)
def test_a_changed_input_is_refused_with_the_first_difference(tmp_path, change, message):
    plan = written(tmp_path / "plan", files(70))
    plan.check(files(70), shards=3)
    with pytest.raises(ScoreError, match=message):
        plan.check(change(files(70)), shards=3)


@pytest.mark.parametrize("name", ["00000.parquet", "00001.parquet", "duplicates.parquet"])
@pytest.mark.parametrize("kept", [None, 0, 100, -9])
def test_a_damaged_plan_is_said_to_be_damaged(tmp_path, monkeypatch, name, kept):
    monkeypatch.setattr(planning, "SHARDS_A_FILE", 2)
    written(tmp_path / "plan", files(100))
    path = tmp_path / "plan" / name
    content = path.read_bytes()
    path.unlink() if kept is None else path.write_bytes(content[:kept])
    with pytest.raises(
        ScoreError, match=r"plan: expected the plan of this run, found it damaged .*; score into"
    ):
        Plan(tmp_path / "plan").check(files(100), shards=4)

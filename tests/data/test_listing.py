"""Rows of CSV, whatever their cells hold."""

from __future__ import annotations

from itertools import chain, repeat

import pytest

from crossfer.data.listing import MAX_CELL, csv_lines
from crossfer.data.sample import DataError


def test_a_cell_may_be_long():
    cell = "x" * MAX_CELL
    assert list(csv_lines([f"a.png,{cell}\n"], "x.csv")) == [(1, ["a.png", cell])]


def test_a_quotation_mark_that_nothing_closes_is_told_before_all_is_read():
    lines = chain(["path,note\n", 'a.png,"b\n'], repeat("c" * 1023 + "\n"))
    with pytest.raises(DataError, match=r"x\.csv, line 2: .*; look for a stray quotation mark"):
        list(csv_lines(lines, "x.csv"))

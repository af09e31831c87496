from __future__ import annotations

import pytest

from crossfer.printable import one_line, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:p@ss word@host/a@b.png", "https://host/a@b.png"),
        ("zip://a.png::http://user:secret@host/x.zip", "zip://a.png::http://host/x.zip"),
        ("/home/a@b.png", "/home/a@b.png"),
        ("s3://bucket/a@b.png", "s3://bucket/a@b.png"),
    ],
)
def test_user_and_password_are_left_out_and_nothing_else(text, shown):
    assert without_password(text) == shown


@pytest.mark.parametrize(
    ("message", "place", "line"),
    [
        ("a  b.jpg: no image", "a  b.jpg", "a  b.jpg: no image"),
        ("no image,\r\n\n   but text\n", "a  b.jpg", "a  b.jpg: no image, but text"),
        ("a\tb.jpg: no image", "a\tb.jpg", "a\\tb.jpg: no image"),
        (" \n", "a.jpg", "a.jpg: ValueError"),
    ],
)
def test_an_error_in_one_line_names_its_place_once_with_all_its_spaces(message, place, line):
    assert one_line(ValueError(message), place) == line

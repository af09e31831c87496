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
        (" l.jpg: no\nimage", " l.jpg", " l.jpg: no image"),
        ("a\n b.jpg: no\nimage", "a\n b.jpg", "a\\n b.jpg: no image"),
        ("cannot read a \n.jpg \n", "a \n.jpg ", "cannot read a \\n.jpg "),
    ],
)
def test_an_error_in_one_line_names_its_place_once_with_all_its_spaces(message, place, line):
    assert one_line(ValueError(message), place) == line


def test_an_error_of_many_spaces_is_one_line_at_once():
    spaces = " " * 10**6
    assert one_line(ValueError(f"a{spaces}b\n{spaces}c")) == f"a{spaces}b c"

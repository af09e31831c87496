from __future__ import annotations

import pytest

from crossfer.printable import without_password


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

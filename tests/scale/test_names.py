from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfer.scale.names import beside, input_name, suffix, to_bytes, to_text


@given(st.binary(max_size=40))
def test_any_bytes_survive_as_text(name):
    text, escaped = to_text(name)
    assert to_bytes(text, escaped) == name
    text.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_utf8_stays_as_it_is(text):
    assert to_text(text.encode()) == (text, False)


def test_escapes_are_not_taken_for_what_they_look_like():
    assert to_text(rb"a\xff") == (r"a\xff", False)
    assert to_text(b"\\xff\xff") == (r"\\xff\xff", True)
    assert to_bytes(r"\\xff\xff", escaped=True) == b"\\xff\xff"


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (b"a/b.JPG", ".jpg"),
        (b"x.tar.gz", ".tar.gz"),
        (b"x.y.tar", ".tar"),
        (b"x.tar.png", ".png"),
        (b"x.tar.zst", ".tar.zst"),
        (b"dir.zip/none", ""),
        (b".png", ""),
        (b"caf\xe9.png", ".png"),
    ],
)
def test_suffixes(name, ending):
    assert suffix(name) == ending


def test_names_in_a_list_are_relative_to_the_list():
    assert beside(b"/lists/a.txt", b"x/y.png") == b"/lists/x/y.png"
    assert beside(b"/lists/a.txt", b"/x/y.png") == b"/x/y.png"
    assert beside(b"s3://bucket/lists/a.txt", b"y.png") == b"s3://bucket/lists/y.png"
    assert beside(b"/lists/a.txt", b"s3://bucket/y.png") == b"s3://bucket/y.png"
    assert beside(b"/lists/a.txt", b"file:///x/%20.png") == b"/x/%20.png"
    assert beside(b"s3://bucket/lists/a.txt", b"local:///x/y.png") == b"/x/y.png"
    assert beside(b"s3://bucket/lists/a.txt", b"./../y.png") == b"s3://bucket/lists/./../y.png"
    assert beside(b"/lists/a.txt", b"x/../\0/../y.png") == b"/lists/x/../\0/../y.png"


def test_inputs_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert input_name("photos/") == str(tmp_path / "photos").encode()
    assert input_name("file:///photos/%20") == b"/photos/%20"
    assert input_name("s3://bucket/photos/") == b"s3://bucket/photos"

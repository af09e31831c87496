"""Bodies to images, against the encoder of an HTTP client."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfer.serve.limits import Limits
from crossfer.serve.problems import Problem
from crossfer.serve.upload import Upload, short_name, split_form

BOUNDARY = b"limit"


def form(files: list[tuple[str, bytes]], field: str = "image") -> tuple[bytes, bytes]:
    """Body and boundary as httpx writes them."""
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    return httpx.Request(
        "POST", "http://x/", files=[(field, file) for file in files], headers=kind
    ).read(), BOUNDARY


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_what_a_client_encodes_comes_back(contents):
    files = [(f"{n}.png", content) for n, content in enumerate(contents)]
    assert split_form(*form(files), Limits()) == [Upload(name, content) for name, content in files]


@given(st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r", b"-", b"x"]), max_size=30))
def test_data_that_looks_like_a_boundary_is_data(pieces):
    data = b"".join(pieces)
    if b"\r\n--" + BOUNDARY in b"\r\n" + data:
        return
    head = b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = b"--" + BOUNDARY + b"\r\n" + head + data + b"\r\n--" + BOUNDARY + b"--\r\n"
    assert split_form(body, BOUNDARY, Limits()) == [Upload("a", data)]


@given(st.binary(max_size=400))
def test_any_bytes_give_images_or_a_problem(body):
    with suppress(Problem):
        assert split_form(b"--" + BOUNDARY + body, BOUNDARY, Limits())


@pytest.mark.parametrize(
    ("body", "boundary", "name"),
    [
        (b"", b"", "bad-request"),
        (b"", BOUNDARY, "bad-request"),
        (b"nothing", BOUNDARY, "bad-request"),
        (b"--limit\r\n", BOUNDARY, "bad-request"),
        (form([("a", b"data")])[0][:-9], BOUNDARY, "bad-request"),
        (b"--limit--\r\n", BOUNDARY, "invalid-parameter"),
        (*form([("a", b"data")], field="file"), "invalid-parameter"),
        (*form([("a", b"data")] * 17), "too-large"),
        (b"--limit\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n--limit--\r\n", BOUNDARY, "bad-request"),
        (b"--limit\r\nA: " + b"b" * 100_000 + b"\r\n\r\nx\r\n--limit--\r\n", BOUNDARY, "bad-request"),
        (b"--limit\r\n\r\nx\r\n--limit--\r\n", b"l" * 300, "bad-request"),
    ],
)
def test_a_form_that_is_not_as_it_should_be_is_a_problem(body, boundary, name):
    with pytest.raises(Problem) as caught:
        split_form(body, boundary, Limits())
    assert caught.value.name == name


@given(st.text(max_size=500))
def test_names_are_short_and_printable(name):
    assert len(short_name(name)) <= 120
    assert short_name(name).isprintable()

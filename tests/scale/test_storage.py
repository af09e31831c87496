"""How stores that fail are asked again, and what is too large to be read at all."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from crossfer.scale import storage
from crossfer.scale.faults import Fault
from crossfer.scale.listing import Listing
from crossfer.scale.reading import Reader
from scale import corpora

LIMIT = 1 << 20


def failing(times: int, error: Exception):
    left = [error] * times

    def ask() -> str:
        if left:
            raise left.pop()
        return "answer"

    return ask


def test_a_store_that_fails_is_asked_again_after_longer_and_longer_pauses(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    assert storage.patiently(failing(3, TimeoutError("slow"))) == "answer"
    assert pauses == [1, 2, 4]
    with pytest.raises(TimeoutError):
        storage.patiently(failing(4, TimeoutError("slow")))
    pauses.clear()
    for lasting in (FileNotFoundError(), PermissionError(), Fault("too large", "x")):
        with pytest.raises(type(lasting)):
            storage.patiently(failing(1, lasting))
    assert pauses == []


@pytest.mark.parametrize("kind", ["folder", "x.zip", "x.tar", "x.tar.gz"])
def test_what_is_too_large_is_not_read_wherever_it_lies(kind: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "MAX_BYTES", LIMIT)
    files = [tmp_path / "folder" / name for name in ("a.png", "b.png", "c.png")]
    files[0].parent.mkdir()
    for path, size in zip(files, (LIMIT, 16 * LIMIT, 9), strict=True):
        path.write_bytes(bytes(size))
    if kind != "folder":
        (corpora.as_zip if kind == "x.zip" else corpora.as_tar)(files, tmp_path / kind)
    entries = list(Listing([str(tmp_path / kind)]))
    tracemalloc.start()
    try:
        with closing(Reader()) as reader:
            found = [image.data for image in reader.images(entries, 0)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found[0], found[2]) == (bytes(LIMIT), bytes(9))
    assert isinstance(found[1], Fault)
    assert found[1].cause == "too large"
    assert found[1].message.endswith("b.png: expected at most 1 MiB, found 16 MiB")
    assert peak < 8 * LIMIT

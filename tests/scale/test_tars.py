"""Images in tar files, damaged and hostile ones too."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from crossfer.scale.faults import Fault
from crossfer.scale.listing import Listing
from crossfer.scale.tars import stream_tar
from scale import corpora
from scale.corpora import entries, read


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.tar", gzip.compress),
        ("x.tar", bz2.compress),
        ("x.tar", lzma.compress),
        ("x.tbz2", bz2.compress),
        ("x.txz", lzma.compress),
    ],
)
def test_a_compressed_tar_is_known_by_how_it_begins(name, pack, images, tmp_path):
    path = tmp_path / name
    path.write_bytes(pack(corpora.as_tar(images, tmp_path / "whole.tar").read_bytes()))
    assert [entry.kind for entry in entries(path)] == ["stream"]
    assert read(entries(path)) == corpora.contents(images)


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
def test_the_name_of_a_first_member_is_not_taken_for_a_compression(name, images, tmp_path):
    path = corpora.tar_of([("BZh1.png", images[0].read_bytes())], tmp_path / "whole.tar")
    path = path.rename(tmp_path / name)
    assert read(entries(path)) == corpora.contents(images[:1])


@pytest.mark.parametrize(
    "go_through", [lambda path: iter(Listing([path])), lambda path: stream_tar(path.encode())]
)
def test_a_tar_of_many_members_is_gone_through_without_holding_them(go_through, tmp_path):
    """Python's tarfile keeps a description of each, some 0.5 kB."""
    members, path = 4_000, tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(members):
            archive.addfile(tarfile.TarInfo(f"{number}.png"))
    del archive
    tracemalloc.start()
    try:
        assert sum(1 for _ in go_through(str(path))) == members
        assert tracemalloc.get_traced_memory()[1] < 100 * members
    finally:
        tracemalloc.stop()


def cut_after(data: bytes, place: int) -> bytes:
    return data[:place]


def broken_at(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


def zeroed_at(data: bytes, place: int) -> bytes:
    return data[:place] + bytes(tarfile.BLOCKSIZE) + data[place + tarfile.BLOCKSIZE :]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
@pytest.mark.parametrize("damage", [cut_after, broken_at, zeroed_at])
def test_a_tar_that_is_damaged_between_members_says_so_after_those_before(damage, name, images, tmp_path):
    """Python's tarfile takes a damaged header for the end, and tells nobody."""
    whole = corpora.as_tar(images, tmp_path / "whole.tar")
    with tarfile.open(whole) as archive:
        place = archive.getmember(images[5].name).offset
    data = damage(whole.read_bytes(), place)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    *found, fault = read(entries(tmp_path / name))
    assert found == corpora.contents(images[:5])
    assert isinstance(fault, Fault)
    assert fault.cause == "archive"
    assert f"at byte {place:,}" in fault.message


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x.png")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def with_holes(blocks: int) -> bytes:
    """A sparse member of old GNU tar, and so many further blocks that say where its holes are."""
    first = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    first[482] = 1  # there is a further block
    first[483:495] = b"00000000000\0"
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    return bytes(first) + (b"00000000001\0" * 42 + b"\1" + bytes(7)) * blocks


HEADERS = {
    **{
        name: lambda kind=kind: header(kind, 32 << 20) + bytes(32 << 20)
        for name, kind in {"pax": b"x", "global": b"g", "long name": b"L", "long link": b"K"}.items()
    },
    "holes": lambda: with_holes(40_000),
    "many": lambda: (header(b"x", 512) + b"12 a=bcdefg\n".ljust(512, b"\0")) * 1_000,
}


@pytest.mark.parametrize(
    ("headers", "name"), [*itertools.product(HEADERS, ["x.tar", "x.tar.gz"]), ("pax", "x.tar.bz2")]
)
def test_a_tar_whose_headers_have_no_measure_is_a_fault_and_not_held_in_memory(
    headers, name, images, tmp_path
):
    whole = corpora.as_tar(images[:1], tmp_path / "whole.tar")
    with tarfile.open(whole) as archive:
        archive.getmembers()
        end = archive.offset
    data = whole.read_bytes()[:end] + HEADERS[headers]() + header(b"0", 0) + bytes(1024)
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(Path(name).suffix, bytes)
    (tmp_path / name).write_bytes(pack(data))
    tracemalloc.start()
    try:
        found, fault = read(entries(tmp_path / name))
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
    assert found == images[0].read_bytes()
    assert isinstance(fault, Fault)
    assert fault.cause == "archive"
    assert "headers for one member" in fault.message


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_an_extended_header_that_makes_no_sense_is_no_end_of_the_archive(name, images, tmp_path):
    nonsense = header(tarfile.XHDTYPE, 512) + b"0 a=b\n".ljust(512, b"\0")
    data = header(tarfile.REGTYPE, 0) + nonsense + bytes(1024)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    _, fault = read(entries(tmp_path / name))
    assert isinstance(fault, Fault)
    assert "(invalid header at byte 512)" in fault.message


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_a_tar_that_leads_back_by_a_negative_size_comes_to_an_end(kind, images, tmp_path):
    damaged = bytearray(header(kind, 0))
    damaged[124:136] = (256**12 - 1024).to_bytes(12, "big")
    damaged[148:156] = b" " * 8
    damaged[148:156] = b"%06o\0 " % sum(damaged)
    (tmp_path / "x.tar").write_bytes(header(tarfile.REGTYPE, 0) * 6 + damaged + bytes(1024))
    *_, fault = itertools.islice(Listing([str(tmp_path / "x.tar")]), 100)
    assert fault.cause == "archive"
    assert "at byte 3,072" in (fault.detail or "")


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_links_and_devices_in_a_tar_are_faults(name, images, tmp_path):
    others = []
    for kind, member in [(tarfile.SYMTYPE, "s"), (tarfile.LNKTYPE, "h"), (tarfile.CHRTYPE, "d")]:
        others.append(info := tarfile.TarInfo(f"{member}.png"))
        info.type, info.linkname = kind, "" if kind == tarfile.CHRTYPE else "in/\udcff.png"
    others.append(folder := tarfile.TarInfo("folder.png"))
    folder.type = tarfile.DIRTYPE
    path = corpora.tar_of([("in/\udcff.png", images[0].read_bytes())], tmp_path / name, others)
    found, *faults = read(entries(path))
    assert found == images[0].read_bytes()
    assert [fault.cause for fault in faults if isinstance(fault, Fault)] == ["archive"] * 3
    for fault, words in zip(faults, ["s.png: ", "h.png: ", "d.png: "], strict=True):
        assert words in fault.message  # type: ignore[union-attr]
        assert ("device" if words[0] == "d" else r"a link to in/\xff.png") in fault.message  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["gnu", "pax"])
@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_sparse_member_is_read_with_its_holes(form, name, images, tmp_path):
    """``tar --sparse`` leaves out what a file does not hold on disk."""
    content = b"BM" + bytes(100_000) + b"end"
    holey = tmp_path / "holey.bmp"
    with holey.open("wb") as file:
        file.write(content[:2])
        file.seek(len(content) - 3)
        file.write(content[-3:])
    if holey.stat().st_blocks * 512 >= len(content):
        pytest.skip("this file system keeps no holes")
    tar = ["tar", "--sparse", f"--format={form}", "-C", tmp_path, "-caf", tmp_path / name]
    subprocess.run([*tar, "holey.bmp", images[0]], check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / name).stat().st_size < len(content)
    assert read(entries(tmp_path / name)) == [content, images[0].read_bytes()]

"""Images in zip files, damaged ones too."""

from __future__ import annotations

import stat
from zipfile import ZipFile

from crossfer.scale import reading
from crossfer.scale.faults import Fault
from crossfer.scale.zips import ZipReader
from scale import corpora
from scale.corpora import entries, read


def test_links_and_encrypted_members_of_a_zip_are_faults(images, tmp_path):
    path = corpora.as_zip(images[:3], tmp_path / "x.zip")
    with ZipFile(path, "a") as archive:
        infos = archive.infolist()[1:]  # as they are written into the directory
        infos[0].flag_bits |= 1
        infos[1].external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.comment = b"changed"
    encrypted, link, found = read(entries(path))
    assert found == images[2].read_bytes()
    assert isinstance(encrypted, Fault)
    assert isinstance(link, Fault)
    assert (encrypted.cause, link.cause) == ("archive", "archive")
    assert "inner/00000.png: expected a file that can be read, found an encrypted one" in encrypted.message
    assert "inner/00001.png: expected a file that can be read, found a link" in link.message


def test_a_damaged_member_is_a_fault_and_the_others_are_read(images, tmp_path):
    path = corpora.as_zip(images, tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    place = data.index(images[4].read_bytes())
    data[place + 50] ^= 255
    path.write_bytes(data)
    found = read(entries(path))
    assert [place for place, one in enumerate(found) if isinstance(one, Fault)] == [4]
    assert found[4].cause == "archive"  # type: ignore[union-attr]


def test_damaged_members_do_not_cost_an_opening_of_their_zip_each(images, tmp_path, monkeypatch):
    path = corpora.as_zip(images, tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    for image in images[1:]:
        data[data.index(image.read_bytes()) + 50] ^= 255
    path.write_bytes(data)
    opened: list[bytes] = []
    monkeypatch.setattr(reading, "ZipReader", lambda path: opened.append(path) or ZipReader(path))
    first, *faults = read(entries(path))
    assert first == images[0].read_bytes()
    assert {fault.cause for fault in faults if isinstance(fault, Fault)} == {"archive"}
    assert opened == [bytes(path)]

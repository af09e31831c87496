"""Every form of input lists its images in one order, and entries read back as the bytes put in."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import shutil
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from zipfile import ZipFile

import fsspec
import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from crossfer.scale import storage
from crossfer.scale.faults import Fault, ScoreError
from crossfer.scale.listing import LINKED, Listing
from crossfer.scale.reading import Reader
from crossfer.scale.tables import MAX_CELL
from scale import corpora
from scale.corpora import entries, read
from scale.runs import draw

FORMS = {
    "zip": lambda images, folder: corpora.as_zip(images, folder / "x.zip"),
    "tar": lambda images, folder: corpora.as_tar(images, folder / "x.tar"),
    "compressed tar": lambda images, folder: corpora.as_tar(images, folder / "x.tar.gz"),
    "Parquet": lambda images, folder: corpora.as_parquet(images, folder / "x.parquet"),
    "Parquet of Hugging Face": lambda images, folder: corpora.as_parquet(
        images, folder / "x.parquet", struct=True
    ),
    "list": lambda images, folder: corpora.as_list(images, folder / "x.txt"),
    "list of find -print0": lambda images, folder: corpora.as_list(images, folder / "x.lst", b"\0"),
    "list of Windows": lambda images, folder: corpora.as_list(images, folder / "x.txt", b"\r\n"),
    "CSV": lambda images, folder: corpora.as_csv(images, folder / "x.csv"),
    "Parquet of paths": lambda images, folder: corpora.as_path_table(images, folder / "x.parquet"),
    "folder": lambda images, folder: images[0].parent,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_images_in_order(form, images, tmp_path):
    corpus = FORMS[form](images, tmp_path)
    listed = entries(corpus)
    assert read(listed) == corpora.contents(images)
    assert listed == entries(corpus), "listing depends on nothing else"


@pytest.mark.parametrize("form", ["zip", "tar", "compressed tar", "Parquet"])
def test_archives_in_a_folder_are_opened_and_other_files_counted(form, images, tmp_path):
    FORMS[form](images, tmp_path)
    (tmp_path / "readme.md").touch()
    corpora.as_csv(images, tmp_path / "labels.csv")
    corpora.as_path_table(images, tmp_path / "table.parquet")
    listing = Listing([str(tmp_path)])
    assert read(list(listing)) == corpora.contents(images)
    within = {"zip": {".txt": 1}, "tar": {".cls": 20}}.get(form, {})
    assert listing.passed_over == {".md": 1, ".csv": 1, ".parquet": 1} | within


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_members_that_are_no_images_are_counted_by_suffix_and_hidden_ones_are_not(ending, tmp_path):
    for name in ("a.png", "a.gif", "b.HEIC", "c.gif", "LABELS", ".d.gif", "__MACOSX/e.gif", ".git/f.gif"):
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).touch()
    packed = shutil.make_archive(str(tmp_path / "x"), ending[1:], tmp_path / "files")
    listing = Listing([packed])
    for _ in range(2):
        assert len(list(listing)) == 1
        assert listing.passed_over == {".gif": 2, ".heic": 1, "without suffix": 1}


def test_members_are_named(images, tmp_path):
    zipped = entries(corpora.as_zip(images, tmp_path / "x.zip"))
    assert zipped[1].member == b"inner/00001.png"
    assert entries(corpora.as_parquet(images, tmp_path / "x.parquet"))[19].member == b"19"
    streamed = entries(corpora.as_tar(images, tmp_path / "x.tar.gz"))
    assert [e.kind for e in streamed] == ["stream"]
    found = [(image.number, image.member) for image in Reader().images(streamed, 5)]
    assert found == [(5, path.name.encode()) for path in images]


@pytest.mark.parametrize(
    "kind",
    [pa.binary(64), pa.binary_view(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())],
    ids=str,
)
def test_a_column_of_images_may_be_of_any_kind_of_bytes(kind, tmp_path):
    data = [bytes([255, 0, number] * 21 + [0]) for number in range(3)]
    for column, name in [
        (pa.array(data, kind), "x.parquet"),
        (pa.StructArray.from_arrays([pa.array(data, kind)], ["bytes"]), "y.parquet"),
    ]:
        write_table(pa.table({"image": column}), tmp_path / name)
        assert read(entries(tmp_path / name)) == data


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_a_column_of_names_may_be_of_text_or_of_bytes(kind, images, tmp_path):
    names = pa.array([bytes(path) for path in images])
    column = names.cast(pa.string()).cast(kind) if kind != pa.binary() else names
    write_table(pa.table({"path": column}), tmp_path / "x.parquet")
    assert read(entries(tmp_path / "x.parquet")) == corpora.contents(images)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([list(b"BM\0")], pa.list_(pa.uint8())), "text or bytes in column 'image', found list<"),
        (pa.array([{"path": "x.png"}]), "found struct<path: string>; save"),
        (pa.array([3]), "found int64; save"),
    ],
)
def test_a_column_of_neither_names_nor_images_is_refused_by_its_type(column, message, tmp_path):
    write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    with pytest.raises(ScoreError, match=message):
        entries(tmp_path / "x.parquet")


def test_images_in_a_column_of_names_are_told_by_their_bytes(images, tmp_path):
    write_table(pa.table({"file": corpora.contents(images)}), tmp_path / "x.parquet")
    told = r"row 1: expected a name .*found other bytes; if these are images: --column file"
    with pytest.raises(ScoreError, match=told):
        entries(tmp_path / "x.parquet")
    assert read(entries(tmp_path / "x.parquet", column="file")) == corpora.contents(images)


def test_a_row_with_only_the_path_of_its_image_says_so(images, tmp_path):
    data = images[1].read_bytes()
    rows = [{"bytes": None, "path": "b.png"}, {"bytes": data, "path": "b.png"}, {"bytes": None, "path": None}]
    write_table(pa.table({"image": rows}), tmp_path / "x.parquet")
    fault, *found = read(entries(tmp_path / "x.parquet"))
    assert isinstance(fault, Fault)
    assert fault.cause == "archive"
    assert "x.parquet/0: expected an image in bytes, found only its path b.png" in fault.message
    assert found == [data, b""]


def test_rows_of_parquet_are_read_in_any_order(images, tmp_path):
    listed = entries(corpora.as_parquet(images, tmp_path / "x.parquet"))
    some = [listed[place] for place in (3, 5, 4, 19, 0)]
    assert read(some) == [images[place].read_bytes() for place in (3, 5, 4, 19, 0)]


def test_a_folder_lists_its_files_before_those_below_and_follows_no_link_to_a_folder(tmp_path):
    draw(tmp_path / "b" / "deep", 1)
    draw(tmp_path / "a", 1)
    (tmp_path / "z.png").touch()
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    listing = Listing([str(tmp_path)])
    names = [os.path.relpath(e.path, bytes(tmp_path)) for e in listing]
    assert listing.passed_over == {LINKED: 1}
    assert names == [b"broken.png", b"round.png", b"z.png", b"a/00000.png", b"b/deep/00000.png"]
    causes = [data.cause for data in read(entries(tmp_path)) if isinstance(data, Fault)]
    assert causes == ["missing", "reading"]


def test_names_may_hold_any_byte(images, tmp_path):
    name = b"caf\xe9 \\ \n\xff.png"
    path = os.path.join(bytes(tmp_path), name)
    with open(path, "wb") as file:
        file.write(images[0].read_bytes())
    (listed,) = entries(tmp_path)
    assert listed.path == path
    (tmp_path / "list.txt").write_bytes(name + b"\0")
    (from_list,) = entries(tmp_path / "list.txt")
    assert from_list == listed
    assert read([listed]) == corpora.contents(images[:1])


def test_a_list_names_an_image_as_its_folder_does_whatever_way_it_goes(images, tmp_path):
    folder = tmp_path / "img"
    shutil.copytree(images[0].parent, folder)
    (tmp_path / "lists").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path)
    for way in (f"{folder}/.", f"{folder}//", "../img", ".././lists/../img"):
        corpora.as_list([f"{way}/{path.name}" for path in images], tmp_path / "lists" / "x.txt")
        assert entries(tmp_path / "lists" / "x.txt") == entries(folder)
        assert entries(tmp_path / "alias" / "lists" / "x.txt") == entries(
            folder if way.startswith("/") else tmp_path / "alias" / "img"
        )


def test_what_lies_above_a_link_in_a_list_lies_above_what_the_link_leads_to(images, tmp_path):
    (tmp_path / "deep" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "below")
    shutil.copy(images[0], tmp_path / "deep" / "x.png")
    shutil.copy(images[1], tmp_path / "x.png")
    (tmp_path / "x.txt").write_text("link/../x.png")
    assert read(entries(tmp_path / "x.txt")) == corpora.contents(images[:1])
    assert entries(tmp_path / "x.txt") == entries(tmp_path / "deep")


def test_a_byte_order_mark_is_no_part_of_the_first_name(images, tmp_path):
    path = corpora.as_list(images, tmp_path / "x.txt", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(entries(path)) == corpora.contents(images)
    (tmp_path / "\ufeff.png").write_bytes(images[0].read_bytes())
    (tmp_path / "x.lst").write_bytes("\ufeff.png\0".encode())  # exact, as find writes it
    assert read(entries(tmp_path / "x.lst")) == corpora.contents(images[:1])


def test_patterns(images, tmp_path):
    for place in range(3):
        corpora.as_zip(images[place : place + 1], tmp_path / f"part-{place}.zip")
    assert read(entries(tmp_path / "part-[01].zip")) == corpora.contents(images[:2])


def test_faults_of_listing_become_entries(images, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"junk")
    (tmp_path / "bad.parquet").write_bytes(b"junk")
    half = corpora.as_tar(images, tmp_path / "half.tar")
    half.write_bytes(half.read_bytes()[:20_000])
    listed = entries(tmp_path)
    faults = [data for data in read(listed) if isinstance(data, Fault)]
    assert {fault.cause for fault in faults} == {"archive"}
    assert ["bad.parquet" in faults[0].message, "bad.zip" in faults[1].message] == [True, True]
    assert 1 <= len(listed) - len(faults) < 20


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_members_are_read_whatever_their_names_point_at(name, images, tmp_path):
    names = ["./a.png", "../x.png", "a/./b.png", "/etc/c.png"]
    members = list(zip(names, corpora.contents(images), strict=False))
    hidden = [("./.a.png", b""), ("../.git/x.png", b""), ("__MACOSX/./a.png", b"")]
    if name == "x.zip":
        with ZipFile(tmp_path / name, "w") as archive:
            for member, data in members + hidden:
                archive.writestr(member, data)
    else:
        corpora.tar_of(members + hidden, tmp_path / name)
    assert read(entries(tmp_path / name)) == corpora.contents(images[:4])


def test_a_row_that_is_gone_says_that_the_table_was_changed(images, tmp_path):
    first, *_ = entries(corpora.as_parquet(images, tmp_path / "x.parquet"))
    found, fault = read([first, first._replace(place=7)])
    assert found == images[0].read_bytes()
    assert isinstance(fault, Fault)
    assert "the table is no longer the one that was listed" in fault.message


def test_a_row_that_cannot_be_read_does_not_take_the_next_ones_with_it(images, tmp_path):
    bad, *listed = entries(corpora.as_parquet(images, tmp_path / "x.parquet"))
    fault, *found = read([bad._replace(detail="no such column"), *listed])
    assert isinstance(fault, Fault)
    assert found == corpora.contents(images[1:])


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (fault,) = read(entries(tmp_path))
    assert isinstance(fault, Fault)
    assert fault.cause == "not a file"
    assert "regular file" in fault.message


def test_folders_in_a_list_are_faults_that_hold_nothing_open(images, tmp_path):
    before = len(os.listdir("/dev/fd"))
    path = corpora.as_list([tmp_path] * 50 + images[:1], tmp_path / "x.txt")
    *faults, found = read(entries(path))
    assert found == images[0].read_bytes()
    assert {fault.cause for fault in faults if isinstance(fault, Fault)} == {"not a file"}
    assert len(os.listdir("/dev/fd")) == before


def test_an_address_of_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.txt").write_text(f"local://{tmp_path}\n")
    (fault,) = read(entries(tmp_path / "x.txt"))
    assert isinstance(fault, Fault)
    assert fault.cause == "not a file"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, None, "no such file or folder"),
        ("x.csv", b"a,b\n1,2\n", "expected a column path"),
        ("x.csv", b"", "found none"),
        ("x.csv", b"path;label\nb.jpg;1\n", "expected columns parted by commas, found 'path;label'"),
        ("x.csv", b"path\tlabel\nb.jpg\t1\n", "expected columns parted by commas"),
        ("x.csv", "path,label\nb.jpg,1\n".encode("utf-16"), "in UTF-8, found UTF-16"),
        ("x.csv", b'path\nb.jpg\n"c.jpg\nd.jpg\n', r"x\.csv, line 3: .*look for a stray quotation mark"),
        ("x.csv", b'path,n\n"a,\nb",1\n"Quote" 1.jpg,2\n', r"x\.csv, line 2: .*found one with a line break"),
        ("x.csv", b'n,path\n"a\nb",b.jpg\n2,"Quote" 1.jpg\n', r"x\.csv, line 4: expected a line of CSV"),
        ("x.parquet", b"junk", "expected a whole Parquet file"),
        ("x.txt", b"x" * (1 << 20), "a line of more than"),
        ("x.TSV", b"path\nb.jpg\n", r"expected an image, .*found \.tsv; save it as CSV or Parquet"),
        ("x.json", b'["b.jpg"]', r"found \.json; save it as CSV"),
        ("x.7z", b"7z", r"found \.7z; unpack it first"),
        ("x.csv.gz", b"\x1f\x8b", r"found \.gz; unpack it first"),
        ("x.txt", "a.png\r\n".encode("utf-16"), "in UTF-8, found UTF-16"),
    ],
)
def test_an_input_of_no_use_is_one_sentence(tmp_path, name, content, message):
    path = tmp_path / (name or "none")
    if name:
        path.write_bytes(content)
    with pytest.raises(ScoreError, match=message):
        entries(path)


def test_the_columns_that_a_parquet_file_may_have_are_told(images, tmp_path):
    write_table(pa.table({"blob": corpora.contents(images)}), tmp_path / "x.parquet")
    told = (
        r"a column path, .* or key, or one of bytes called image, .* or data, found 'blob'; name .*--column$"
    )
    with pytest.raises(ScoreError, match=told):
        entries(tmp_path / "x.parquet")
    assert read(entries(tmp_path / "x.parquet", column="blob")) == corpora.contents(images)


def test_a_link_that_leads_round_in_a_circle_is_one_sentence_about_itself(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for given in (loop, tmp_path / "lo*"):
        with pytest.raises(ScoreError, match=f"^{loop}: Too many levels of symbolic links; check the input$"):
            entries(given)
    with pytest.raises(ScoreError, match=f"^{loop}: "):
        _ = Listing([str(loop)]).folders


def test_a_column_of_ones_own(images, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"photo\n{images[0]}\n\n  \n{images[1]}\n")
    with pytest.raises(ScoreError, match="--column"):
        entries(path)
    found = read(entries(path, column="photo"))
    assert [found[0], found[2]] == corpora.contents(images[:2])
    assert isinstance(found[1], Fault)
    assert found[1].cause == "listing"


def test_spaces_at_the_ends_of_a_cell_are_no_part_of_the_name(images, tmp_path):
    shutil.copy(images[0], tmp_path / "a b.png")
    (tmp_path / "x.csv").write_text("label, path , note\n1, a b.png , x\n")
    assert read(entries(tmp_path / "x.csv")) == corpora.contents(images[:1])


def test_names_in_a_csv_may_hold_commas_and_quotation_marks(images, tmp_path):
    shutil.copy(images[0], tmp_path / 'a "b", c.png')
    (tmp_path / "x.csv").write_text('note,path\n"two\nlines","a ""b"", c.png"\n')
    assert read(entries(tmp_path / "x.csv")) == corpora.contents(images[:1])


def test_a_cell_of_a_csv_may_be_long_but_not_without_end(images, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"note,path\n{'x' * 200_000},{images[0]}\n")
    assert read(entries(path)) == corpora.contents(images[:1])
    path.write_text(f'note,path\n"{"x" * MAX_CELL}\n",{images[0]}\n')
    with pytest.raises(ScoreError, match=r"x\.csv, line 2: .*; look for a stray quotation mark"):
        entries(path)


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_pipe_that_a_list_names_is_not_waited_for_and_an_image_has_its_size(scheme, images, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "x.txt").write_text(f"{scheme}{tmp_path}/pipe.png\n{scheme}{images[0]}\n")
    listed = entries(tmp_path / "x.txt")
    fault, found = read(listed)
    assert isinstance(fault, Fault)
    assert fault.cause == "not a file"
    assert found == images[0].read_bytes()
    assert listed[1].size == len(found)


# ---- addresses ----


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A file server that gives parts of files, as object stores do."""

    def send_head(self):
        asked = self.headers.get("Range")
        if asked is None or not os.path.isfile(path := self.translate_path(self.path)):
            return super().send_head()
        content = Path(path).read_bytes()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        return io.BytesIO(part)

    def log_message(self, format, *args):  # noqa: A002 - its name there
        pass


@pytest.fixture
def served(images: list[Path], tmp_path: Path) -> Iterator[str]:
    """A folder with images, one in a folder below, and a zip, over HTTP on the loopback."""
    draw(tmp_path / "web" / "below", 3)
    corpora.as_zip(images, tmp_path / "web" / "x.zip")
    corpora.as_tar(images, tmp_path / "web" / "x.tar")
    (tmp_path / "web" / "notes.txt").touch()

    handler = functools.partial(Ranges, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_over_http(served, images, tmp_path):
    listing = Listing([served])
    drawn = sorted((tmp_path / "web" / "below").iterdir())
    assert read(list(listing)) == corpora.contents([*images, *images, *drawn])
    assert listing.passed_over == {".txt": 2}  # beside the archives, and in the zip
    (tmp_path / "list.txt").write_text(f"{served}/below/00001.png\n{served}/none.png\n")
    found = read(entries(tmp_path / "list.txt"))
    assert found[0] == drawn[1].read_bytes()
    assert isinstance(found[1], Fault)
    assert found[1].cause == "missing"


LIMIT = 4 << 20


class Floods(http.server.BaseHTTPRequestHandler):
    """Answers with far more than an image may have: ``/announced`` says so first, ``/endless`` never ends."""

    sent: ClassVar[list[int]] = []

    def do_GET(self):
        self.send_response(200)
        if self.path == "/announced.png":
            self.send_header("Content-Length", str(100 * LIMIT))
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.sent.append(self.wfile.write(bytes(1 << 16)))
                if (
                    sum(self.sent) > 2 * LIMIT
                ):  # a system's buffers may hold tens of megabytes that nobody reads
                    time.sleep(0.01)

    def log_message(self, format, *args):  # noqa: A002 - its name there
        pass


@pytest.mark.parametrize("name", ["announced", "endless"])
def test_an_address_that_answers_with_too_much_is_not_read_whole_and_not_asked_again(
    name, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "MAX_BYTES", LIMIT)
    Floods.sent.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Floods) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{name}.png"
        (tmp_path / "list.txt").write_text(address)
        tracemalloc.start()
        try:
            (fault,) = read(entries(tmp_path / "list.txt"))
            assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
        finally:
            tracemalloc.stop()
            server.shutdown()
    assert isinstance(fault, Fault)
    found = f"{100 * LIMIT >> 20} MiB" if name == "announced" else "more"
    assert fault.cause == "too large"
    assert fault.message == f"{address}: expected at most 4 MiB, found {found}"
    assert sum(Floods.sent) < 4 * LIMIT, "what is on the way in the buffers of both sides counts too"


def test_addresses_in_memory(images):
    fs = fsspec.filesystem("memory")
    for path in images:
        fs.pipe(f"/corpus/{path.name}", path.read_bytes())
    try:
        assert read(entries("memory://corpus")) == corpora.contents(images)
        assert read(entries("memory://corpus/0000[12].png")) == corpora.contents(images[1:3])
        assert [e.size for e in entries("memory://corpus")] == [
            len(data) for data in corpora.contents(images)
        ]
    finally:
        fs.rm("/corpus", recursive=True)


def test_an_address_of_an_unknown_kind_says_what_is_missing():
    with pytest.raises(ScoreError, match="nonsense"):
        entries("nonsense://bucket/x")


@pytest.fixture
def odd_addresses(tmp_path: Path) -> list[str]:
    (tmp_path / "broken.zip").write_bytes(b"junk")
    return ["github://x/y.png", f"zip://a.png::{tmp_path}/broken.zip", "dir://x.png", "http://[::1"]


def test_an_odd_address_is_one_sentence_that_names_it(odd_addresses):
    for address in odd_addresses:
        with pytest.raises(ScoreError) as raised:
            entries(address)
        assert str(raised.value).startswith(f"{address}: expected an address that can be opened (")


def test_an_odd_address_in_a_list_is_the_fault_of_its_own_image(odd_addresses, images, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "FIRST_PAUSE", 0.0)
    (tmp_path / "x.txt").write_text("\n".join([*odd_addresses, str(images[0])]))
    *faults, found = read(entries(tmp_path / "x.txt"))
    assert found == images[0].read_bytes()
    assert [fault.cause for fault in faults if isinstance(fault, Fault)] == ["reading"] * len(odd_addresses)


def test_odd_suffixes_of_what_is_passed_over_are_counted_together(images, tmp_path):
    names = [
        "log.\x1b]0;owned\x07",
        "a.averylongsuffix",
        "b.é",
        "c.mp4",
        "d.tar.lz4",
        "e.tar.xyz",
        *(f"core.{n}" for n in range(40)),
    ]
    for name in names:
        (tmp_path / name).touch()
    listing = Listing([str(tmp_path)])
    list(listing)
    assert listing.passed_over == {"other": 43, ".mp4": 1, ".tar.lz4": 1, ".xyz": 1}

"""The same few images in every form in which a corpus comes, and what is found in one."""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pyarrow as pa
from pyarrow.parquet import write_table

from crossfer.scale.entries import Entry
from crossfer.scale.faults import Fault
from crossfer.scale.listing import Listing
from crossfer.scale.reading import Reader


def contents(images: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in images]


def as_zip(images: list[Path], target: Path) -> Path:
    with ZipFile(target, "w") as archive:
        archive.writestr("notes.txt", "no image")
        for path in images:
            archive.write(path, f"inner/{path.name}")
    return target


def as_tar(images: list[Path], target: Path) -> Path:
    """A WebDataset shard: a label beside each image."""
    with tarfile.open(target, "w:gz" if target.suffix == ".gz" else "w") as archive:
        for path in images:
            archive.add(path, path.name)
            label = tarfile.TarInfo(f"{path.stem}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(b"3"))
    return target


def tar_of(members: list[tuple[str, bytes]], target: Path, links: list[tarfile.TarInfo] = []) -> Path:  # noqa: B006
    """A tar with members of any names, and after them what is no file."""
    with tarfile.open(target, "w:gz" if target.suffix == ".gz" else "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in links:
            archive.addfile(info)
    return target


def as_parquet(images: list[Path], target: Path, *, group: int = 7, struct: bool = False) -> Path:
    data = contents(images)
    column = pa.array(data, pa.binary())
    if struct:
        column = pa.array([{"bytes": d, "path": "x.png"} for d in data])
    write_table(pa.table({"id": list(range(len(data))), "image": column}), target, row_group_size=group)
    return target


def as_list(images: Sequence[Path | str], target: Path, end: bytes = b"\n") -> Path:
    target.write_bytes(b"".join(os.fsencode(path) + end for path in images))
    return target


def as_csv(images: list[Path], target: Path) -> Path:
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "Path"])
        writer.writerows([n, path] for n, path in enumerate(images))
    return target


def as_path_table(images: list[Path], target: Path) -> Path:
    write_table(pa.table({"subject": [1] * len(images), "file_name": [str(path) for path in images]}), target)
    return target


def entries(*inputs: object, column: str | None = None) -> list[Entry]:
    return list(Listing([str(given) for given in inputs], column))


def read(listed: list[Entry]) -> list[bytes | Fault]:
    with closing(Reader()) as reader:
        return [image.data for image in reader.images(listed, 0)]

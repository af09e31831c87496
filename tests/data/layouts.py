"""Tiny copies of the layouts in which users hold data sets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
HEADER = ("Usage", "Image name", *EXPRESSIONS, "unknown", "NF")


@dataclass(frozen=True)
class Row:
    """A line of fer2013new.csv; ``label_csv`` are the votes in the other version where they differ."""

    usage: str
    name: str
    votes: tuple[int, ...]
    label_csv: tuple[int, ...] | None = None


# Ten columns: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF.
ROWS = (
    Row("Training", "fer0000000.png", (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)),
    Row("Training", "fer0000001.png", (6, 0, 1, 1, 0, 0, 0, 0, 2, 0)),
    Row("Training", "", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)),
    Row("Training", "fer0000002.png", (0, 10, 0, 0, 0, 0, 0, 0, 0, 0)),
    Row("PublicTest", "fer0000003.png", (0, 0, 0, 0, 0, 0, 8, 2, 0, 0)),
    Row(
        "PrivateTest", "fer0000004.png", (0, 5, 5, 0, 0, 0, 0, 0, 0, 0)
    ),  # half is no majority; argmax: the first
    Row("PrivateTest", "fer0000005.png", (0, 0, 5, 3, 1, 1, 0, 0, 0, 0)),  # 5 of 8 once the ones are gone
    Row("PrivateTest", "fer0000006.png", (0, 0, 0, 0, 0, 0, 0, 0, 9, 1)),
    Row("PrivateTest", "fer0000007.png", (0, 0, 0, 5, 0, 0, 0, 0, 5, 0)),  # tied with unknown
    Row("PrivateTest", "fer0000008.png", (7, 0, 0, 3, 0, 0, 0, 0, 0, 0), (0, 0, 0, 9, 1, 0, 0, 0, 0, 0)),
    Row("PrivateTest", "", (9, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    Row(
        "PrivateTest", "fer0000009.png", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    ),  # nothing is left by the outlier rule
    Row("PrivateTest", "fer0000010.png", (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    Row("PrivateTest", "fer0000011.png", (0, 0, 0, 0, 0, 0, 0, 9, 0, 1)),
)


def grey(name: str) -> np.ndarray:
    """The pixels of an image, which differ from name to name: uint8 (48, 48)."""
    return np.random.default_rng(int(name[3:10])).integers(256, size=(48, 48), dtype=np.uint8)


def png(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey(name)).save(buffer, "PNG")
    return buffer.getvalue()


def to_csv(rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def write_table(root: Path, rows: Sequence[Row] = ROWS) -> Path:
    """fer2013new.csv."""
    path = root / "fer2013new.csv"
    path.write_text(to_csv([HEADER, *((row.usage, row.name, *row.votes) for row in rows)]))
    return path


def files_of(usage: str, rows: Sequence[Row] = ROWS) -> dict[str, bytes]:
    """The content of a split's folder: a PNG for each name, and label.csv."""
    named = {row.name: row for row in rows if row.usage == usage and row.name}
    labels = [(name, "(0, 0, 48, 48)", *(row.label_csv or row.votes)) for name, row in named.items()]
    return {**{name: png(name) for name in named}, "label.csv": to_csv(labels).encode()}


def write_folders(root: Path, rows: Sequence[Row] = ROWS) -> Path:
    write_table(root, rows)
    for usage, folder in FOLDERS.items():
        (root / folder).mkdir()
        for name, content in files_of(usage, rows).items():
            (root / folder / name).write_bytes(content)
    return root


def write_zips(root: Path, rows: Sequence[Row] = ROWS) -> Path:
    write_table(root, rows)
    for usage, folder in FOLDERS.items():
        with ZipFile(root / f"{folder}.zip", "w", ZIP_DEFLATED) as archive:
            for name, content in files_of(usage, rows).items():
                archive.writestr(f"{folder}/{name}", content)
    return root


def write_pixel_table(root: Path, rows: Sequence[Row] = ROWS) -> Path:
    """fer2013.csv beside fer2013new.csv; a row without a name has pixels of its own."""
    write_table(root, rows)
    lines = ["emotion,pixels,Usage"]
    for row in rows:
        pixels = grey(row.name or "fer9999999").ravel()
        lines.append(f"0,{' '.join(map(str, pixels))},{row.usage}")
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root


def write_class_folders(root: Path, counts: dict[str, int], size: tuple[int, int] = (48, 48)) -> Path:
    """A folder per class with so many RGB PNGs of random pixels; ``size`` is (width, height)."""
    for index, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng([index, i])
            pixels = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


# ---- other sets: tiny copies, with the names and oddities of the real ones ----


def picture(*key: int, side: int = 32) -> np.ndarray:
    """Smooth random pixels, as photos have, which differ from key to key: uint8 (side, side, 3)."""
    coarse = np.random.default_rng(key).integers(256, size=(6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


RAFDB_LABELS = {
    "train_00001.jpg": 5,
    "train_00002.jpg": 5,
    "train_00003.jpg": 4,
    "train_00004.jpg": 7,
    "test_0001.jpg": 1,
    "test_0002.jpg": 4,
}


def write_rafdb(
    root: Path,
    *,
    labels: Mapping[str, int] = MappingProxyType(RAFDB_LABELS),
    listed: str = "EmoLabel/list_patition_label.txt",
    folder: str = "Image/aligned",
    suffix: str = "_aligned",
) -> Path:
    """RAF-DB as its publishers ship it, once unpacked."""
    for i, name in enumerate(labels):
        save(root / folder / name.replace(".jpg", f"{suffix}.jpg"), picture(1, i))
    (root / listed).parent.mkdir(parents=True, exist_ok=True)
    (root / listed).write_text("".join(f"{name} {label}\n" for name, label in labels.items()))
    return root


def write_rafdb_folders(root: Path, top: str = "DATASET/") -> Path:
    """The copy of RAF-DB with a folder per label."""
    for i, (name, label) in enumerate(RAFDB_LABELS.items()):
        split = name.split("_")[0]
        save(root / f"{top}{split}/{label}/{name.replace('.jpg', '_aligned.jpg')}", picture(1, i))
    return root


def write_sfew(root: Path, between: bool = True) -> Path:
    """SFEW 2.0 with capitalised class folders."""
    for part in ("Train", "Val"):
        for i, name in enumerate(("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")):
            inner = f"{part}_Aligned_Faces/" if between else ""
            for j in range(2 if part == "Train" else 1):
                save(root / f"{part}/{inner}{name}/Film_{i}_{j}.png", picture(2, len(part), i, j))
    return root


AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
AFFECTNET_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1)


def write_affectnet_lists(root: Path, *, box: tuple[int, int, int, int] = (4, 6, 20, 22)) -> Path:
    """The older layout: training.csv with a header, validation.csv without."""
    for stem, header in (("training", AFFECTNET_HEADER), ("validation", None)):
        lines = [] if header is None else [header]
        for i, code in enumerate(AFFECTNET_CODES):
            name = f"{i % 3}/{stem}{i:04d}.jpg"
            save(root / "Manually_Annotated_Images" / name, picture(3, len(stem), i))
            lines.append(f"{name},{','.join(map(str, box))},1.0;2.0;3.0,{code},0.1,-0.2")
        path = root / "Manually_Annotated_file_lists" / f"{stem}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return root


def write_affectnet_arrays(root: Path, *, as_text: bool = True) -> Path:
    """The newer layout: an array of one expression beside each image."""
    for part in ("train_set", "val_set"):
        (root / part / "annotations").mkdir(parents=True)
        for i, code in enumerate(AFFECTNET_CODES):
            save(root / part / "images" / f"{i}.jpg", picture(3, len(part), i))
            value = np.array(str(code)) if as_text else np.array(code)
            np.save(root / part / "annotations" / f"{i}_exp.npy", value)
            np.save(root / part / "annotations" / f"{i}_val.npy", np.array("0.5"))
    return root


def zip_folder(folder: Path, archive: Path, *, inside: str = "") -> Path:
    """Packs a folder's content below ``inside`` and removes it."""
    with ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{inside}{path.relative_to(folder).as_posix()}")
    rmtree(folder)
    return archive

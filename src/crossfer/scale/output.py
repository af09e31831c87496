"""The folder of a run: who may write there, which parts are done, how a part is added so that it is whole.

``run.json`` says what run it is; ``plan/`` what there is to do; ``faces/part-NNNNNN.parquet`` are the rows of
shards that are done; ``manifest.jsonl`` has a line for each of those. A part gets its name when it is whole
and its line after that, so a run that ends anywhere leaves whole parts, and at worst one too few.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from crossfer.scale.faults import ScoreError
from crossfer.scale.work import Scored
from crossfer.system.atomic import whole_file, write_atomically
from crossfer.system.lock import FolderInUseError, lock_folder

FORMAT = 1
LOCK, RUN, PLAN, PARTS, MANIFEST, SUMMARY, REPORT = (
    ".lock", "run.json", "plan", "faces", "manifest.jsonl", "summary.json", "report.html"
)  # fmt: skip
_PLANNED = re.compile(r"\d{5,}\.parquet|duplicates\.parquet")


class OutputFolder:
    """An output folder that this process alone may write to until it is closed.

    Args:
        path: made if it is not there.

    Raises:
        ScoreError: if another process writes there, or something else lies there.
        OSError: if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(path)
        try:
            self._lock = lock_folder(path, LOCK)
        except FolderInUseError as error:
            raise ScoreError(str(error)) from None
        self._manifest: FileIO | None = None
        self._planned = False

    def run(self) -> dict[str, Any] | None:
        """What run it holds; None if its plan was never finished."""
        return read_run(self.path)

    def new_plan(self) -> Path:
        """An empty folder for a plan; what a run left that never finished its plan is removed."""
        self._planned = True
        for name in (PLAN, PARTS):
            shutil.rmtree(self.path / name, ignore_errors=True)
            (self.path / name).mkdir()
        return self.path / PLAN

    def begin(self, run: Mapping[str, Any]) -> None:
        """Says what run this is; from here on it can be resumed."""
        write_atomically(self.path / RUN, _json({"format": FORMAT, **run}))

    def done(self) -> set[int]:
        """The shards that are done; those whose part is gone or has another size count as not done.

        Half a line at the manifest's end, and half a part, are what a killed run leaves: both are removed.
        """
        for entry in (self.path / PARTS).glob(".*.part"):
            entry.unlink()
        shards = set[int]()
        with whole_file(self.path / MANIFEST, alone=True) as kept, kept.open("wb") as file:
            for line in manifest(self.path):
                if "shard" not in line:
                    file.write(_line(line))
                elif self._is_whole(line):
                    file.write(_line(line))
                    shards.add(line["shard"])
        return shards

    def _is_whole(self, line: Mapping[str, Any]) -> bool:
        try:
            return os.stat(self.path / PARTS / part_name(line["shard"])).st_size == line.get("bytes")
        except (FileNotFoundError, ValueError):  # it is gone, or its number is none
            return False

    def begin_stint(self, engine: str, workers: int) -> None:
        """Notes in the manifest that work begins, or goes on."""
        began = round(time.time(), 3)
        self._append(_line({"began": began, "engine": engine, "workers": workers}))

    def commit(self, scored: Scored) -> None:
        """Adds a part: whole under another name, then under its own, then in the manifest.

        Raises:
            OSError: if it cannot be written; what was committed before stays as it is.
        """
        start = time.perf_counter()
        write_atomically(self.path / PARTS / part_name(scored.shard), scored.part, alone=True)
        sha256 = hashlib.sha256(scored.part).hexdigest()
        record = scored.to_dict() | {"bytes": len(scored.part), "sha256": sha256}
        record["seconds"]["write"] = round(scored.seconds["write"] + time.perf_counter() - start, 6)
        self._append(_line(record | {"finished": round(time.time(), 3)}))

    def _append(self, line: bytes) -> None:
        if self._manifest is None:
            # Unbuffered: half a line that did not fit must not be written later.
            self._manifest = (self.path / MANIFEST).open("ab", buffering=0)
        length = self._manifest.tell()
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._manifest.write(rest) :]
            os.fsync(self._manifest.fileno())
        except OSError:
            os.truncate(self.path / MANIFEST, length)
            raise

    def close(self) -> None:
        """Lets others write; of a run that never began nothing is left. What is not ours stays as it is."""
        if self._manifest is not None:
            self._manifest.close()
        if not (self.path / RUN).exists():
            for name in (PLAN, PARTS) if self._planned else ():
                shutil.rmtree(self.path / name, ignore_errors=True)
            (self.path / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # something else may have been put there
                if self._made:
                    self.path.rmdir()
        self._lock.close()


def part_name(shard: int) -> str:
    """The file of a shard's rows."""
    return f"part-{shard:06}.parquet"


def read_run(folder: Path) -> dict[str, Any] | None:
    """What run a folder holds, or None.

    Raises:
        ScoreError: if a later version wrote it, or something else did.
    """
    try:
        found = json.loads((folder / RUN).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ScoreError(f"{folder / RUN}: expected JSON ({error}); choose another folder") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ScoreError(f"{folder / RUN}: expected a run of format {FORMAT}; choose another folder")
    if lacking := [key for key in ("version", "model", "options", "inputs", "plan") if key not in found]:
        raise ScoreError(
            f"{folder / RUN}: lacks {', '.join(lacking)}, so it is damaged; choose another folder"
        )
    return found


def manifest(folder: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a manifest, for each stint and each shard; none if there is no manifest."""
    path = folder / MANIFEST
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the process was killed while it wrote this line
            if isinstance(entry, dict) and line.endswith(b"\n"):
                yield entry


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=2).encode() + b"\n"


def _refuse_strangers(folder: Path) -> None:
    if (folder / RUN).exists():
        return
    for entry in folder.iterdir():
        if not _left_before_a_run(entry):
            raise ScoreError(
                f"{folder}: expected an empty folder or that of an earlier run, found {entry.name}; "
                "choose another"
            )


def _left_before_a_run(entry: Path) -> bool:
    """Whether a run that was killed before its plan was whole leaves this; a name alone is no proof."""
    if entry.is_symlink():
        return False
    if entry.name == PLAN:
        return entry.is_dir() and all(_PLANNED.fullmatch(file.name) for file in entry.iterdir())
    if entry.name == PARTS:
        return entry.is_dir() and not any(entry.iterdir())
    if entry.name == LOCK:
        return entry.is_file() and entry.stat().st_size == 0
    return entry.is_file() and entry.name.startswith(".") and entry.name.endswith(".part")

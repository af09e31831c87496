"""A run that is under way: a folder beside its output, from which an interrupted run goes on.

It holds the rows so far (``rows.jsonl``), every look of the detector (``looks.jsonl``), the segments of the
annotated copy, and ``state.json``, which says up to where they count. Whatever was written after the last
state is cut off again, so that a resumed run gives the same rows as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from crossfer.runtime.detection import Detection
from crossfer.system.atomic import write_atomically
from crossfer.system.lock import lock_folder
from crossfer.video.tracks import Look, look_from_dict

_HEAD = 1 << 20  # bytes of a source that tell it from another
_LOCK = "lock"
_WASTE = re.compile(r"lock|looks\.jsonl|state\.json|segment-\d+\.mp4|\..*\.part")


class Unfinished:
    """The folder of a run.

    Args:
        target: the run's first output; the folder lies beside it, or beside what it leads to if it is a
            link, and has its name with ``.partial``.
        request: what decides the result, as plain values; a run can only be resumed with the same.
        resume: go on with what is there; if nothing is, start at the beginning.

    Attributes:
        state: of the last commit; None at the beginning.

    Raises:
        ValueError: if another process writes there now; if an interrupted run is there but ``resume`` is not
            asked for, or it is of another request.
        OSError: if the folder cannot be made, or later, if a file in it cannot be written; it names which.
    """

    def __init__(self, target: Path, request: dict[str, Any], *, resume: bool) -> None:
        self.folder = unfinished_folder(target)
        self.rows_path, self._looks_path = self.folder / "rows.jsonl", self.folder / "looks.jsonl"
        self._files = self.rows_path, self._looks_path
        self._request = request
        self.folder.mkdir(exist_ok=True)
        self._refuse_strangers()
        with ExitStack() as opened:
            opened.enter_context(lock_folder(self.folder, _LOCK))
            self.state = self._read_state(resume=resume)
            self._rows = self._opened(self.rows_path)
            opened.callback(_close, self._rows)
            self._looks = self._opened(self._looks_path)
            opened.callback(_close, self._looks)
            self._open = opened.pop_all()

    def _refuse_strangers(self) -> None:
        found = {path.name for path in self.folder.iterdir()}
        if found - {_LOCK} and self.rows_path.name not in found:
            raise ValueError(
                f"{self.folder}: expected a folder for this run's unfinished files, found one that holds "
                "others; move it away, or name another output"
            )

    def write_rows(self, lines: str) -> None:
        """Appends rows."""
        with _naming(self._rows):
            self._rows.write(lines.encode())

    def write_look(self, look: Look) -> None:
        """Appends a look."""
        with _naming(self._looks):
            self._looks.write(json.dumps(look.to_dict()).encode() + b"\n")

    def looks(self) -> Iterator[tuple[int, float, tuple[Detection, ...], bool]]:
        """Every look up to the last commit, as ``Tracks.look`` takes it."""
        with self._looks_path.open("rb") as file:
            for line in file:
                yield look_from_dict(json.loads(line))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While what an interrupted run left is taken up: what is damaged there is one sentence.

        Raises:
            ValueError: that sentence; the folder is as it was, and free for others.
        """
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.close()
            raise self._damage() from error

    def commit(self, state: dict[str, Any]) -> None:
        """Makes what was written so far count, together with a state."""
        sizes = {"rows": _flushed(self._rows), "looks": _flushed(self._looks)}
        self.state = {"request": self._request, "bytes": sizes, **state}
        write_atomically(self.folder / "state.json", json.dumps(self.state).encode())

    def end_rows(self) -> None:
        """No more rows and looks come: what was written can be read."""
        _close(self._rows)
        _close(self._looks)

    def close(self) -> None:
        """Closes the files and lets others go on; the folder stays."""
        with self._open:
            self.end_rows()

    def remove(self) -> None:
        """Removes the folder: the run is complete, or its user does not want it."""
        with self._open:
            self.end_rows()
            self.rows_path.unlink(missing_ok=True)  # from here on the rest is waste: see remove_waste
            shutil.rmtree(self.folder)

    def _read_state(self, *, resume: bool) -> dict[str, Any] | None:
        path = self.folder / "state.json"
        if not path.exists():
            return None
        if not resume:
            raise ValueError(
                f"{self.folder}: an interrupted run lies here; go on with it with --resume, if it is of "
                "a file, or remove the folder to start anew"
            )
        try:
            state = json.loads(path.read_bytes())
            request, sizes = state["request"], state["bytes"]
            keys = sorted(self._request.keys() | request.keys())
            lost = [path for path in self._files if path.stat().st_size < sizes[path.stem]]
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
            raise self._damage() from error
        if lost:
            raise self._damage()
        for key in keys:
            if self._request.get(key) != request.get(key):
                raise ValueError(
                    f"{self.folder}: the interrupted run had another {key} ({request.get(key)}, now "
                    f"{self._request.get(key)}); resume with the same, or remove the folder to start anew"
                )
        return state

    def _damage(self) -> ValueError:
        return ValueError(
            f"{self.folder}: expected what an interrupted run left, found damage; remove the folder to start "
            "anew"
        )

    def _opened(self, path: Path) -> IO[bytes]:
        """A file to append to, cut back to the last commit."""
        file = path.open("ab")
        file.truncate(0 if self.state is None else self.state["bytes"][path.stem])
        return file


def unfinished_folder(target: Path) -> Path:
    """Where a run lies whose first output this is, until it is complete."""
    place = _led_to(target)
    return place.with_name(f"{place.name}.partial")


def remove_waste(target: Path) -> None:
    """Removes what is left of the folder of a complete run that ended while it removed it.

    Raises:
        ValueError: if another process begins to write there now.
    """
    folder = unfinished_folder(target)
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and "rows.jsonl" not in found and all(_WASTE.fullmatch(name) for name in found):
        with lock_folder(folder, _LOCK):
            shutil.rmtree(folder)


def _led_to(target: Path) -> Path:
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def source_id(path: Path) -> dict[str, Any]:
    """What tells a file from another: its size and the SHA-256 of its first MiB."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "head": hashlib.sha256(file.read(_HEAD)).hexdigest()}


@contextmanager
def _naming(file: IO[bytes]) -> Iterator[None]:
    """Errors name the file; those of a full disk name none."""
    try:
        yield
    except OSError as error:
        error.filename = str(file.name)
        raise


def _close(file: IO[bytes]) -> None:
    with _naming(file):
        file.close()


def _flushed(file: IO[bytes]) -> int:
    """The size of a file that is safely on disk up to there."""
    with _naming(file):
        file.flush()
        os.fsync(file.fileno())
    return os.fstat(file.fileno()).st_size

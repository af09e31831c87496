"""Indices of large data sets, kept on disk so that listing them again takes seconds.

An index is used only while what it was made from is unchanged: beside it lies a digest of the state of every
file that it depends on. A cache that cannot be read or written is simply not used. Nothing is pickled.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np

from crossfer.system.atomic import write_atomically

VERSION = 2  # of what an index holds and what speaks against one: raise it when that changes
MAX_BYTES = 1 << 28


def cache_folder() -> Path:
    """``$CROSSFER_CACHE``, or ``crossfer`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if given := os.environ.get("CROSSFER_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfer"


def cached(
    name: str,
    state: Iterable[str],
    build: Callable[[], Mapping[str, np.ndarray]],
    *,
    keep: Callable[[], bool] = lambda: True,
) -> Mapping[str, np.ndarray]:
    """An index from the cache if it is there and its state is the same, else built, and kept if it may be.

    Args:
        name: of the index and the place it was made from; a new state replaces the old one under it.
        state: lines that differ whenever the index would.
        build: makes the index.
        keep: asked after building whether the index may be kept.
    """
    digest = blake2b(f"{VERSION}\n".encode(), digest_size=16)
    for line in state:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    now = np.frombuffer(digest.digest(), np.uint8)
    key = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    try:
        path = cache_folder() / f"{key}.npz"
    except RuntimeError:  # there is no home
        return build()
    if (kept := _load(path, now)) is not None:
        return kept
    built = build()
    if keep():
        _store(path, {**built, "state": now})
    return built


def _load(path: Path, state: np.ndarray) -> Mapping[str, np.ndarray] | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        with np.load(path, allow_pickle=False) as file:
            if not np.array_equal(file["state"], state):
                return None
            return {name: file[name] for name in file.files if name != "state"}
    except Exception:  # whatever is wrong with it, the index is made anew
        return None


def _store(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    if buffer.tell() > MAX_BYTES:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError:
        return

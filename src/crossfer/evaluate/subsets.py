"""Named parts of a data set: lists of images in a text file, and the challenge lists of FERPlus."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfer.data.listing import is_image
from crossfer.data.sample import DataError, Sample

# Published with the Region Attention Network (Wang et al., TIP 2020) for the FERPlus test split. Their own
# labels, which lead or follow each name, belong to another protocol, so that only the names count.
CHALLENGES = {
    "occlusion": "jianfei_occlusion_list.txt",
    "pose-30": "pose_30_ferplus_list.txt",
    "pose-45": "pose_45_ferplus_list.txt",
}
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Subset:
    """A list of images.

    Attributes:
        name: what to call it in results.
        names: the images, each by its name without suffix, perhaps led by some of its folders.
    """

    name: str
    names: tuple[str, ...]


def read_subset(given: str, root: Path) -> Subset:
    """A subset by its file, or one of the FERPlus challenge lists by its name.

    In a file each line names one image, by path or by the name that the data set gives it, with or without
    an image's suffix; blank lines and those that start with ``#`` are ignored.

    Args:
        given: a path, or a key of ``CHALLENGES``, whose file lies in the folder ``challenge`` of the root.
        root: the folder that holds the data set.

    Raises:
        DataError: if there is no such file, or it is no list of names.
    """
    challenge, path = CHALLENGES.get(given), subset_file(given, root)
    lines = [line.strip() for line in _text(path, given).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if challenge is not None:
        lines = [re.sub(r"^\d+[_/]", "", line.split()[0]) for line in lines]
    if not lines:
        raise DataError(f"{path}: expected the name of an image on each line, found none")
    for line in lines:
        if is_image(re.split(r"[\s,;]", line, maxsplit=1)[0]) and not is_image(line):
            raise DataError(
                f"{path}: expected the name of an image a line, nothing after it, found {line[:60]!r}"
            )
    names = dict.fromkeys(_stem(line) for line in lines)
    return Subset(given if challenge is not None else path.stem, tuple(names))


def subset_file(given: str, root: Path) -> Path:
    """Where the names of a subset stand; arguments as for ``read_subset``."""
    challenge = CHALLENGES.get(given)
    return Path(given) if challenge is None else root / "challenge" / challenge


def _text(path: Path, given: str) -> str:
    if not path.is_file():
        raise DataError(
            f"--subset {given}: expected a list of images in the file {path}, found none; "
            f"name a file, or one of {', '.join(CHALLENGES)} for the lists in ROOT/challenge"
        )
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES >> 20} MiB of names, found more")
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a text file with a name on each line ({error})") from error


def find_subset(subset: Subset, samples: Sequence[Sample]) -> np.ndarray:
    """Which images belong to a subset: (N,) bool.

    Args:
        subset: the list.
        samples: the images.

    Raises:
        DataError: if none of them is listed, or a listed name fits several images.
    """
    places = defaultdict(list)
    for index, sample in enumerate(samples):
        for place in {_stem(sample.path), _stem(sample.name)}:
            places[place.rpartition("/")[2]].append((f"/{place}", index))
    chosen = np.zeros(len(samples), bool)
    for name in subset.names:
        fitting = sorted({i for place, i in places[name.rpartition("/")[2]] if place.endswith(f"/{name}")})
        if len(fitting) > 1:
            raise DataError(
                f"subset {subset.name}: {name!r} fits {len(fitting)} images, such as "
                f"{samples[fitting[0]].path} and {samples[fitting[1]].path}; name them with their folders"
            )
        chosen[fitting] = True
    if not chosen.any():
        raise DataError(
            f"subset {subset.name}: none of its {len(subset.names):,} names, such as {subset.names[0]!r}, "
            f"is among the {len(samples):,} images, such as {samples[0].path}"
        )
    return chosen


def require_own_names(subsets: Sequence[Subset]) -> None:
    """Refuses subsets that results could not tell apart.

    Raises:
        DataError: if two of them have one name.
    """
    names = [subset.name for subset in subsets]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"--subset: expected lists with different names, found {name!r} twice; leave one out or "
                "rename its file"
            )


def _stem(name: str) -> str:
    """A name with forward slashes, without an image's suffix and leading ``./`` or ``/``."""
    folder, slash, last = name.replace("\\", "/").removeprefix("./").lstrip("/").rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last if is_image(last) else last)

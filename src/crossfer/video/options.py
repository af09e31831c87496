"""What to make of a video, whether that can be written, and whether it is there already."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from crossfer.figure import FIGURE
from crossfer.images.files import drawn_as
from crossfer.system.writable import need_file, need_folder
from crossfer.video.join import SUFFIXES as COPIES
from crossfer.video.recognize import VideoSettings
from crossfer.video.rows import RowFormat, has_rows
from crossfer.video.unfinished import unfinished_folder

_TIMELINE = re.compile(r"person-\d+\.png")


@dataclass(frozen=True)
class VideoOptions:
    """What to make of a video.

    Attributes:
        format: of the rows; None for no rows.
        output: the file for the rows; None to hand them over as they come.
        annotate: the annotated copy, or None.
        timeline: the folder of the timelines, or None.
        resume: go on with an interrupted run.
        seconds: stop after so many seconds of video; None for all.
        settings: how to go through it.

    Raises:
        ValueError: if they cannot be, whatever the video is; one line that names the option.
    """

    format: RowFormat | None = None
    output: Path | None = None
    annotate: Path | None = None
    timeline: Path | None = None
    resume: bool = False
    seconds: float | None = None
    settings: VideoSettings = field(default_factory=VideoSettings)

    def __post_init__(self) -> None:
        if self.annotate is not None and self.annotate.suffix.lower() not in COPIES:
            names = ", ".join(COPIES)
            raise ValueError(f"--annotate {self.annotate}: expected a name that ends in {names}")
        if self.annotate is not None and self.settings.every:
            raise ValueError(
                "--annotate: a copy holds all frames, of which --every passes over most; leave out one"
            )
        if self.resume and (self.target is None or self.streams_rows):
            raise ValueError(
                "--resume: rows that went to standard output cannot be taken up again; give --output FILE"
            )

    @property
    def target(self) -> Path | None:
        """The output beside which an unfinished run lies."""
        return self.output or self.annotate or (self.timeline and self.timeline / "timeline")

    @property
    def streams_rows(self) -> bool:
        """Whether rows leave as they come, which cannot be taken back."""
        return self.format is not None and self.output is None


def check_outputs(options: VideoOptions, source: str | Path | int) -> None:
    """Refuses, before any work is done, what could not be written or would overwrite something in use.

    Raises:
        ValueError: one line that names the option.
    """
    files = {"--output": options.output, "--annotate": options.annotate}
    taken = {os.path.realpath(str(source)): "the video itself"}
    for option, path in files.items():
        if path is None:
            continue
        if (place := os.path.realpath(path)) in taken:
            raise ValueError(f"{option} {path}: is {taken[place]}; choose another name")
        taken[place] = f"the file of {option} too"
        _need_file(option, path)
    if options.timeline is not None:
        need_folder("--timeline", options.timeline)
        for path in timelines_in(options.timeline):
            if drawn_as(path) != FIGURE:
                raise ValueError(
                    f"--timeline {options.timeline}: {path} is not known as a timeline by crossfer and might "
                    "be replaced; remove it or choose another folder"
                )
        for folder in _with_parents(Path(os.path.realpath(options.timeline))):
            if str(folder) in taken:
                raise ValueError(
                    f"--timeline {options.timeline}: {folder} is {taken[str(folder)]}; choose another folder"
                )


def _need_file(option: str, path: Path) -> None:
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{option} {path}: expected a file to write, found a folder, device or pipe")
    need_file(option, path)


def is_complete(options: VideoOptions) -> bool:
    """Whether the outputs are there and no run of theirs is unfinished.

    Raises:
        ValueError: if only some are there, so that another run made them.
    """
    outputs = [path for path in (options.output, options.annotate, options.timeline) if path is not None]
    made = [path for path in outputs if path.is_file() or any(timelines_in(path))]
    if not made or options.target is None or unfinished_folder(options.target).exists():
        return False
    lacking = [str(path) for path in outputs if not os.path.lexists(path)]
    if not lacking and _lacks_timelines(options):
        lacking = [f"timeline in {options.timeline}"]
    if lacking:
        raise ValueError(
            f"--resume: expected an unfinished run, found {made[0]} complete and no {lacking[0]}; leave out "
            "--resume to make them anew"
        )
    return True


def _lacks_timelines(options: VideoOptions) -> bool:
    """Whether the folder for timelines is empty although there are rows, so that somebody was seen."""
    rows, folder = options.output, options.timeline
    if rows is None or folder is None or not rows.is_file() or any(timelines_in(folder)):
        return False
    return has_rows(rows, options.format)


def make_folder(folder: Path, unwanted: ExitStack) -> None:
    """Makes a folder, with those that it lies in.

    Args:
        folder: to make; may be there.
        unwanted: removes what was not there before, where it is still empty.

    Raises:
        OSError: if it cannot be made.
    """

    def remove(made: Path) -> None:
        with suppress(OSError):  # an unfinished run lies there
            made.rmdir()

    for one in reversed(_with_parents(folder)):
        if not os.path.lexists(one):
            one.mkdir(exist_ok=True)
            unwanted.callback(remove, one)


def timelines_in(folder: Path) -> list[Path]:
    """What has the name of a timeline in a folder."""
    return sorted(path for path in folder.glob("*.png") if _TIMELINE.fullmatch(path.name))


def _with_parents(folder: Path) -> tuple[Path, ...]:
    """A folder, and those that it lies in."""
    return folder, *folder.parents

"""What ``crossfer video`` does: a source in, rows, an annotated copy and timelines out."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from crossfer import __version__
from crossfer.printable import counted
from crossfer.runtime.columns import csv_line
from crossfer.runtime.fonts import boxes_in_words
from crossfer.runtime.recognizer import Recognizer
from crossfer.system.atomic import whole_file
from crossfer.video.draw import draw_frame
from crossfer.video.encode import Segment, SegmentWriter
from crossfer.video.frames import RecognizedFrame
from crossfer.video.join import join
from crossfer.video.options import VideoOptions, check_outputs, is_complete, make_folder
from crossfer.video.people import People, Person, most_seen
from crossfer.video.recognize import VideoRecognizer, read_frames
from crossfer.video.rows import Columns, RowFormat, read_rows, row_lines, write_csv, write_parquet
from crossfer.video.source import VideoError, VideoSource
from crossfer.video.unfinished import Unfinished, remove_waste, source_id

COMMIT_FRAMES = 250  # about so many frames, at most, are done again after an interruption
MOST_TIMELINES = 200


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        frames: how many frames were gone through in all.
        worked: how many of them in this run, if it went on with another.
        seconds: up to where in the video.
        elapsed: how long this run took.
        people: who was seen.
        notes: what the user should know; of an interrupted run, what can be done.
        problem: what was wrong with the source, or None.
        interrupted: the run was ended before its files were complete; what it had read is kept.
    """

    frames: int
    worked: int
    seconds: float
    elapsed: float
    people: list[Person]
    notes: list[str]
    problem: str | None = None
    interrupted: bool = False


def run_video(
    source: str | Path | int,
    recognizer: Recognizer,
    options: VideoOptions,
    *,
    write: Callable[[str], object],
    progress: Callable[[VideoSource], object] = lambda source: None,
) -> Outcome | None:
    """Goes through a video and writes what was wished for; files are whole or not there.

    Args:
        source: file, camera or stream.
        recognizer: recognises the expressions.
        options: what to make of it.
        write: takes rows that go to no file.
        progress: called after each frame that was gone through, or passed over since it was done before.

    Returns:
        What came of it; None where there is nothing to resume, since all that is wished for is there.

    Raises:
        VideoError: if the source cannot be used at all.
        ValueError: if the options contradict each other or what lies there.
        OSError: if an output cannot be written.
    """
    check_outputs(options, source)
    with VideoSource(source) as opened, ExitStack() as unwanted:
        if options.resume and opened.file is None:
            raise ValueError(f"--resume: only a file can be taken up again, not {opened.name}")
        if options.target is not None:
            remove_waste(options.target)
        if options.resume and is_complete(options):
            return None
        if options.timeline is not None:
            make_folder(options.timeline, unwanted)
        outcome = _Run(opened, recognizer, options, write).go(progress)
        if not outcome.interrupted:
            unwanted.pop_all()
        return outcome


class _Run:
    """One way through a source; its parts take up the state of an interrupted run if there is one."""

    def __init__(
        self,
        source: VideoSource,
        recognizer: Recognizer,
        options: VideoOptions,
        write: Callable[[str], object],
    ) -> None:
        self._source, self._options, self._write = source, options, write
        self._columns = Columns(recognizer.meta.labels, recognizer.coverage is not None, recognizer.abstain)
        self._unfinished: Unfinished | None = None
        state: dict[str, Any] | None = None
        if options.target is not None:
            request = _request(source, recognizer, options)
            self._unfinished = Unfinished(options.target, request, resume=options.resume)
            state = self._unfinished.state
        self._working = VideoRecognizer(
            recognizer,
            options.settings,
            rate=float(source.rate),
            on_look=self._unfinished.write_look if self._unfinished else None,
        )
        self._people = People()
        self._first = self._committed = 0  # numbers of frames
        self._frames = self._before = 0  # how many: in all, and in the runs before this one
        self._end = 0.0
        self._stopped = -1.0  # up to where the file could be read when reading last failed
        self._problem: str | None = None
        self._rows_are_out = False
        segments: list[Segment] = []
        if state is not None and self._unfinished is not None:
            with self._unfinished.reading():
                self._working.restore(state, self._unfinished.looks())
                self._people = People(read_rows(self._unfinished.rows_path))
                self._first = self._committed = int(state["next"])
                self._frames = self._before = int(state["frames"])
                self._end, self._stopped = float(state["end"]), float(state["stopped"])
                segments = [Segment(**segment) for segment in state["segments"]]
        self._copy = self._segment_writer(segments)

    def go(self, progress: Callable[[VideoSource], object]) -> Outcome:
        """From the first frame that is not done yet to the outcome."""
        started = time.monotonic()
        if self._options.streams_rows and self._options.format == "csv":
            self._write(csv_line(self._columns.names))
        try:
            self._go_through(progress)
            notes = self._complete()
        except KeyboardInterrupt:
            kept = self._kept()
            self._leave(keep=kept is not None)
            if kept is None:
                raise
            return self._outcome(started, [self._way_on(kept)], interrupted=True)
        except VideoError as error:
            kept = self._kept()
            if kept is None or kept.state is None:
                self._leave(keep=False)
                raise
            self._leave(keep=True)
            raise VideoError(f"{error}; what was done before is kept in {kept.folder}") from error
        except BaseException:
            self._leave(keep=self._kept() is not None)
            raise
        return self._outcome(started, notes)

    def _kept(self) -> Unfinished | None:
        """What a run leaves that ends before it is complete; rows that left cannot be taken back."""
        return None if self._options.streams_rows else self._unfinished

    def _go_through(self, progress: Callable[[VideoSource], object]) -> None:
        name, any_read = self._source.name, self._read(progress)
        if self._first and not any_read:
            self._note_stop()
            raise VideoError(
                f"{name}: expected at least {self._end:.2f} s, as far as the interrupted run went, but "
                f"reading ended after {self._source.end:.2f} s; go on with --resume when it can be read again"
            )
        if self._stops_for_now():
            self._stopped = self._source.stopped or 0.0
            self._commit()
            raise VideoError(
                f"{self._source.problem}; go on with --resume, which takes this for the end of the video if "
                "reading fails there again"
            )
        self._take(self._working.finish())
        if not self._frames:
            raise VideoError(
                f"{name}: expected a frame before --seconds or Ctrl-C ended it, found none; let it go on for "
                "longer"
            )

    def _read(self, progress: Callable[[VideoSource], object]) -> bool:
        """Takes the frames up to the end, or to where reading fails; whether there was any."""
        limit, any_read = self._options.seconds, False
        with (
            _stopping(live=self._source.live) as stopped,
            closing(
                read_frames(self._source, self._first, lambda: progress(self._source), stopped, self._wanted)
            ) as frames,
        ):
            for frame in frames:
                if self._stops_for_now() or (limit is not None and frame.time >= limit):
                    break
                any_read = True
                self._end = self._source.end
                self._take(self._working.push(frame))
                progress(self._source)
                if self._working.next_index - self._committed >= COMMIT_FRAMES:
                    self._commit()
            else:  # what goes wrong after the last wanted frame is none
                self._problem = self._source.problem
        if self._options.settings.every:  # what was passed over after the last frame counts
            self._end = min(self._source.end, math.inf if limit is None else limit)
        return any_read

    def _wanted(self, time: float, before: float) -> bool:
        """Which frames to read: those to recognise, and one that shows that the end is reached."""
        limit = self._options.seconds
        if limit is not None and time >= limit:
            return before < limit  # more of them would push out live frames that wait
        return self._options.settings.takes(time, before)

    def _stops_for_now(self) -> bool:
        """Whether reading the file failed, which may pass, and not where it did the last time."""
        stopped = self._source.stopped
        return stopped is not None and stopped != self._stopped and self._kept() is not None

    def _note_stop(self) -> None:
        """Where reading failed before anything new came, so that the next time takes it for the end."""
        unfinished = self._kept()
        if unfinished is not None and unfinished.state is not None and self._stops_for_now():
            unfinished.commit({**unfinished.state, "stopped": self._source.stopped})

    def _take(self, recognized: Sequence[RecognizedFrame]) -> None:
        """Writes what is ready, wherever it goes."""
        for one in recognized:
            rows = one.rows()
            for row in rows:
                self._people.add(row)
            if self._unfinished is not None:
                self._unfinished.write_rows(row_lines(rows))
            if self._options.streams_rows:
                self._write(self._streamed(rows))
            if self._copy is not None:
                self._copy.write(draw_frame(one), one.time)
            self._frames += 1

    def _streamed(self, rows: list[dict[str, Any]]) -> str:
        if self._options.format == "json":
            return row_lines(rows)
        return "".join(csv_line(self._columns.values(row)) for row in rows)

    def _segment_writer(self, segments: list[Segment]) -> SegmentWriter | None:
        if self._options.annotate is None or self._unfinished is None:
            return None
        return SegmentWriter(self._unfinished.folder, self._source.time_base, self._source.rate, segments)

    def _commit(self) -> None:
        """From here a run can go on."""
        unfinished = self._kept()
        if unfinished is None:
            return
        segments: list[dict[str, Any]] = []
        if self._copy is not None:
            self._copy.end_segment()
            segments = [segment.to_dict() for segment in self._copy.segments]
        place = {"frames": self._frames, "end": self._end, "stopped": self._stopped, "segments": segments}
        unfinished.commit({**self._working.state(), **place})
        self._committed = self._working.next_index

    def _complete(self) -> list[str]:
        """Makes the outputs from what was gathered."""
        notes = self._losses()
        unfinished, options = self._unfinished, self._options
        if unfinished is None:
            return notes
        unfinished.end_rows()
        if options.output is not None:  # first: whatever befalls pictures, the rows are there
            _write_rows(unfinished.rows_path, options.output, options.format, self._columns)
            self._rows_are_out = True
        if options.timeline is not None:
            step = max(1 / float(self._source.rate), options.settings.every)
            notes += _draw(
                self._people.all(), unfinished.rows_path, options.timeline, self._columns.labels, step
            )
        if self._copy is not None and options.annotate is not None:
            notes += self._join(self._copy, unfinished.folder, options.annotate)
        unfinished.remove()
        return notes

    def _join(self, copy: SegmentWriter, folder: Path, target: Path) -> list[str]:
        copy.end_segment()
        return join(
            copy.segments,
            folder,
            target,
            time_base=copy.time_base,
            end=self._end,
            sound=self._source.file if self._source.has_audio else None,
            sound_end=self._sound_end(),
        )

    def _sound_end(self) -> float:
        """Sound may outlast the pictures, but not where these ended before their time."""
        if self._problem is not None:
            return self._end
        limit = self._options.seconds
        return self._source.longest if limit is None else min(self._source.longest, limit)

    def _losses(self) -> list[str]:
        notes = []
        source = self._source
        if not self._people.all():
            notes.append(f"no face found in {counted(self._frames, 'frame')}")
        if source.dropped:
            notes.append(f"{source.dropped} frames were passed over to keep pace with {source.name}")
        if self._options.annotate is not None and source.has_audio and source.file is None:
            notes.append("the sound of a stream is not recorded")
        if self._options.annotate is not None and (boxes := boxes_in_words(self._columns.labels)):
            notes.append(boxes)
        return notes

    def _way_on(self, unfinished: Unfinished) -> str:
        if self._source.file is not None:
            return "go on with --resume"
        place = self._options.output if self._rows_are_out else unfinished.folder
        return f"only a file can be gone on with; what was read of {self._source.name} is in {place}"

    def _leave(self, *, keep: bool) -> None:
        if self._copy is not None:
            self._copy.abandon()
        if self._unfinished is not None:
            self._unfinished.close() if keep else self._unfinished.remove()

    def _outcome(self, started: float, notes: list[str], *, interrupted: bool = False) -> Outcome:
        return Outcome(
            frames=self._frames,
            worked=self._frames - self._before,
            seconds=self._end,
            elapsed=time.monotonic() - started,
            people=self._people.all(),
            notes=notes,
            problem=self._problem,
            interrupted=interrupted,
        )


def _draw(people: list[Person], rows: Path, folder: Path, labels: Sequence[str], step: float) -> list[str]:
    from crossfer.video.timeline import draw_timelines  # noqa: PLC0415 - matplotlib takes a while to load

    drawn = most_seen(people, MOST_TIMELINES)
    draw_timelines(drawn, lambda: read_rows(rows), folder, labels=labels, step=step)
    few = len(drawn) < len(people)
    return [f"timelines of the {len(drawn)} people seen most, of {len(people)}"] if few else []


def _write_rows(rows: Path, target: Path, form: RowFormat | None, columns: Columns) -> None:
    """Writes the rows where they are wanted; a run that is taken up again needs its own."""
    with whole_file(target, alone=True) as part:
        if form == "csv":
            with part.open("w", encoding="utf-8", newline="") as file:
                write_csv(read_rows(rows), columns, file)
        elif form == "parquet":
            write_parquet(read_rows(rows), columns, part)
        else:
            copyfile(rows, part)


@contextmanager
def _stopping(*, live: bool) -> Iterator[Callable[[], bool]]:
    """Whether to stop: what has no end is ended, and completed, by the first Ctrl-C or SIGTERM."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before: dict[int, Any] = {}
    if live:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        restore()


def _request(source: VideoSource, recognizer: Recognizer, options: VideoOptions) -> dict[str, Any]:
    """What decides every row and picture of a run."""
    return {
        "crossfer": __version__,
        "video": source_id(source.file) if source.file is not None else source.name,
        "model": recognizer.sha256,
        "detector": recognizer.detector_name,
        "detector_side": recognizer.detector_side,
        **asdict(options.settings),
        "coverage": recognizer.coverage,
        "abstain": recognizer.abstain,
        "seconds": options.seconds,
        "annotate": options.annotate is not None,
    }

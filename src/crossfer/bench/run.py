"""What ``crossfer bench`` measures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from crossfer.bench.contender import Contender, read_contenders, scorer
from crossfer.bench.machine import Machine, Watch
from crossfer.bench.photo import Photo, Photos, open_photo
from crossfer.bench.process import COMMAND, PYTHON, can_tell_memory, peak_bytes, run_to_end
from crossfer.bench.result import BenchResult, Case, Section, Unit
from crossfer.bench.timing import Pace, in_turn
from crossfer.images.read import load_image
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.recognizer import Recognizer

FACES, ANSWER = "48 px face to logits", "photo to answer"
DECODING, DETECTOR = "decoding alone", "detector alone"
PLAIN, VERSION, PREDICT = "python alone", "crossfer --version", "crossfer predict PHOTO"
SCORE_ONCE = """
import sys
from crossfer.bench.contender import score_once
score_once(sys.argv[1], int(sys.argv[2]))
"""
MB = 1e6
# After an answer threads that wait for more work may spin, on cores that others could use.
REST = 0.1

Tell = Callable[[str, int, int], None]
Things = dict[Case, Callable[[], object]]


@dataclass(frozen=True)
class Plan:
    """How thorough to be.

    Attributes:
        batches: measured on one thread and on all; smallest first.
        ends: those of them that are measured on every number of threads.
        pace: of what runs in this process.
        processes: of fresh processes.
        peaks: processes whose memory is taken, of each kind.
    """

    batches: tuple[int, ...]
    ends: tuple[int, ...]
    pace: Pace
    processes: Pace
    peaks: int


FULL = Plan(
    (1, 4, 16, 64, 256),
    (1, 64),
    Pace(budget=60.0, block=0.1, rest=REST),
    Pace(budget=30.0, block=0.0, most_rounds=21),
    peaks=3,
)
QUICK = Plan(
    (1, 64),
    (1, 64),
    Pace(budget=3.0, block=0.05, most_rounds=11, rest=REST),
    Pace(budget=3.0, block=0.0, most_rounds=11, warm_up=1),
    peaks=1,
)


def run_bench(
    models: Sequence[str],
    photo: Path | None = None,
    *,
    threads: int | None = None,
    quick: bool = False,
    tell: Tell = lambda section, done, total: None,
) -> BenchResult:
    """Measures how fast models are on this machine.

    Args:
        models: embedded names or bundles; those after the first are compared with it.
        photo: with at least one face; None for the portrait that comes with the install.
        threads: the most to use; None for as many as there are cores.
        quick: fewer things in fewer rounds.
        tell: called between measurements with the section, how much of it is done, and of how much.

    Raises:
        BundleError: if a model cannot be used.
        ImageError: if the photo cannot, or has no face.
        ValueError: if there is no model, or fewer than one thread.
        ProcessError: if a process that is measured fails.
    """
    if not models or (threads is not None and threads < 1):
        raise ValueError(f"expected a model or more and at least 1 thread, got {len(models)} and {threads}")
    machine, plan, watch = Machine.here(), QUICK if quick else FULL, Watch.begin()
    read = read_contenders(models)
    contenders, photos = [contender for contender, _ in read], open_photo(photo)
    face, most = photos.face(read[0][1].input.crop), threads or machine.cores
    sections = [
        _timed("faces", "faces/s", face_cases(contenders, face, most, plan), plan.pace, tell),
        _timed("photo", "ms", photo_cases(contenders, photos, most), plan.pace, tell),
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = [_written(Path(folder), one) for one in photos.sizes]
        commands = start_commands(contenders, photos.sizes[0], files[0])
        starts: Things = {case: partial(run_to_end, command) for case, command in commands.items()}
        sections.append(_timed("start", "ms", starts, plan.processes, tell))
        if can_tell_memory():
            sections.append(_memory(memory_commands(contenders, photos, files, plan), plan.peaks, tell))
    return BenchResult(machine, tuple(contenders), photos, tuple(sections), quick, watch.others())


def thread_counts(most: int) -> list[int]:
    """1, 2, 4 and so on, and the most.

    >>> thread_counts(6), thread_counts(1)
    ([1, 2, 4, 6], [1])
    """
    return [2**i for i in range(most.bit_length()) if 2**i < most] + [most]


def face_cases(contenders: Sequence[Contender], face: np.ndarray, most: int, plan: Plan) -> Things:
    """Batches of one face to logits, pre-processing included."""
    things: Things = {}
    for threads in thread_counts(most):
        batches = plan.batches if threads in {1, most} else plan.ends
        score = {contender.label: scorer(contender.source, threads) for contender in contenders}
        for batch in batches:
            for label, run in score.items():
                case = Case(FACES, label, threads, batch)
                things[case] = partial(run, [face] * batch)
    return things


def photo_cases(contenders: Sequence[Contender], photos: Photos, most: int) -> Things:
    """A JPEG file in memory to its faces with their expressions; and two parts of that by themselves."""
    things: Things = {}
    for photo in photos.sizes:
        things[Case(DECODING, size=photo.size)] = partial(load_image, photo.jpeg)
    for threads in sorted({1, most}):
        detector = CenterFace(threads=threads)
        recognizers = {s.label: Recognizer(s.source, threads=threads) for s in contenders}
        for photo in photos.sizes:
            case = Case(DETECTOR, threads=threads, size=photo.size)
            things[case] = partial(detector.detect, photo.pixels)
            for label, recognizer in recognizers.items():
                case = Case(ANSWER, label, threads, size=photo.size)
                things[case] = partial(recognizer.recognize, photo.jpeg)
    return things


def start_commands(contenders: Sequence[Contender], photo: Photo, file: Path) -> dict[Case, list[str]]:
    """What a fresh process runs to have its time measured: Python, the command line, and one picture."""
    commands = {Case(PLAIN): [*PYTHON, "-c", ""], Case(VERSION): [*COMMAND, "--version"]}
    for contender in contenders:
        commands[Case(PREDICT, contender.label, size=photo.size)] = _predict(contender, file)
    return commands


def memory_commands(
    contenders: Sequence[Contender], photos: Photos, files: Sequence[Path], plan: Plan
) -> dict[Case, list[str]]:
    """What a fresh process runs to have its memory measured."""
    commands = {Case(PLAIN): [*PYTHON, "-c", ""], Case(VERSION): [*COMMAND, "--version"]}
    for batch in plan.batches:
        for contender in contenders:
            script = [*PYTHON, "-c", SCORE_ONCE, contender.source, str(batch)]
            commands[Case(FACES, contender.label, 1, batch)] = script
    for photo, file in zip(photos.sizes, files, strict=True):
        for contender in contenders:
            commands[Case(PREDICT, contender.label, size=photo.size)] = _predict(contender, file)
    return commands


def _predict(contender: Contender, file: Path) -> list[str]:
    return [*COMMAND, "predict", f"--model={contender.source}", "--format=json", str(file)]


def _timed(name: str, unit: Unit, things: Things, pace: Pace, tell: Tell) -> Section:
    tell(name, 0, 0)
    seconds = in_turn(things, pace, tell=partial(tell, name))
    if unit == "faces/s":
        samples = {case: tuple((case.batch or 1) / value for value in seconds[case]) for case in things}
    else:
        samples = {case: tuple(1000 * value for value in seconds[case]) for case in things}
    return Section(name, unit, samples)


def _memory(commands: dict[Case, list[str]], peaks: int, tell: Tell) -> Section:
    samples: dict[Case, list[float]] = {case: [] for case in commands}
    total = peaks * len(commands)
    for done in range(total):
        tell("memory", done, total)
        case = list(commands)[done % len(commands)]
        samples[case].append(peak_bytes(commands[case]) / MB)
    return Section("memory", "MB", {case: tuple(values) for case, values in samples.items()})


def _written(folder: Path, photo: Photo) -> Path:
    path = folder / f"{'x'.join(map(str, photo.size))}.jpg"
    path.write_bytes(photo.jpeg)
    return path

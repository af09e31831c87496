"""One run: list, plan, work, add parts, sum up; begun, or taken up where it was left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from crossfer import __version__
from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE, MOST_IN_A_SHARD, SHARD_SIZE, DetectorName
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.recognizer import Recognizer
from crossfer.scale.faults import ScoreError
from crossfer.scale.listing import Listing
from crossfer.scale.local import score_locally
from crossfer.scale.names import shown
from crossfer.scale.output import PLAN, OutputFolder
from crossfer.scale.plan import Plan, write_plan
from crossfer.scale.ray_environment import prepare_ray
from crossfer.scale.summary import commonest, write_summary
from crossfer.scale.work import BLANK, Engine, Setup
from crossfer.system.cores import usable_cores

# What decides how a face is recognised, and what must stay as it is when a run is resumed; engine and workers
# may change.
SETTINGS = ("detector", "min_face_score", "detector_side", "coverage", "abstain")
OPTIONS = (*SETTINGS, "column", "shard_size")


@dataclass(frozen=True)
class ScoreOptions:
    """What is asked for.

    Attributes:
        inputs: as ``Listing`` takes them.
        output: the folder of the run.
        model: the name of an embedded model, or a bundle.
        detector: as ``Recognizer`` takes it.
        min_face_score: faces that the detector is less sure of (0..1) are left out.
        detector_side: pixels of the longer side of what the detector looks at, at most.
        coverage: of the prediction sets, 0.5 to 0.999; None for none.
        abstain: answer "uncertain" below the confidence that the calibration found.
        column: of tables and Parquet files; None to go by the usual names.
        shard_size: most images in a shard.
        engine: ``"local"`` for processes on this machine, ``"ray"`` for Ray.
        workers: processes; None for one a core (of the cluster, with Ray).
        address: of a Ray cluster to join; None to start one here.
        resume: go on with the run that ``output`` holds.
    """

    inputs: tuple[str, ...]
    output: Path
    model: str = "default"
    detector: DetectorName = "centerface"
    min_face_score: float = MIN_FACE_SCORE
    detector_side: int = DETECTOR_SIDE
    coverage: float | None = None
    abstain: bool = False
    column: str | None = None
    shard_size: int = SHARD_SIZE
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ScoreError("expected an input: a folder, a list, a table, or archives of images")
        if not 1 <= self.shard_size <= MOST_IN_A_SHARD:
            raise ScoreError(f"shard size: expected 1 to {MOST_IN_A_SHARD:,} images, got {self.shard_size:,}")
        if self.workers is not None and self.workers < 1:
            raise ScoreError(f"workers: expected at least 1, got {self.workers}")
        if self.address is not None and self.engine != "ray":
            raise ScoreError("an address is that of a Ray cluster: expected the engine ray with it")


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: ``"listing"``, ``"comparing"`` or ``"scoring"``.
        done: entries listed, compared, or scored; earlier stints count too.
        entries: how many there are; None while they are listed.
        images: scored in this stint.
        seconds: since scoring began.
    """

    stage: Literal["listing", "comparing", "scoring"]
    done: int
    entries: int | None = None
    images: int = 0
    seconds: float = 0.0


Tell = Callable[[Progress], None]


def score(options: ScoreOptions, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Scores what is asked for and writes it; returns the summary.

    Rows do not depend on the engine, the number of workers, or how often the run was ended and resumed.

    Args:
        options: what.
        tell: is told how far it is, from time to time.

    Raises:
        ScoreError: if the run cannot start or go on; what was written stays valid, and may be resumed.
        BundleError: if the model cannot be used.
        OSError: if the output cannot be written; what was written stays valid, and may be resumed.
    """
    if options.engine == "ray":
        prepare_ray(options.address)
    listing = Listing(options.inputs, options.column, options.output)
    with closing(OutputFolder(options.output)) as output:
        # With the folder there: a pattern that matches it is refused.
        setup, described = _prepare(options, listing)
        plan = _planned(options, output, listing, described, tell)
        _work(options, output, plan, setup, tell)
        return write_summary(options.output)


def _prepare(options: ScoreOptions, listing: Listing) -> tuple[Setup, dict[str, Any]]:
    """What workers need to know, and what must be the same when a run is resumed."""
    bundle = read_bundle(options.model, threads=1)
    settings = {name: getattr(options, name) for name in SETTINGS}
    Recognizer(bundle.content, threads=1, **settings).classify([BLANK])  # refuses what cannot be done
    setup = Setup(bundle.content, bundle.sha256, bundle.meta.labels, settings, listing.folders)
    return setup, {
        "version": __version__,
        "model": {"name": bundle.meta.name, "sha256": bundle.sha256},
        "options": {name: getattr(options, name) for name in OPTIONS},
        "inputs": [shown(name) for name in listing.names],
    }


def _planned(
    options: ScoreOptions, output: OutputFolder, listing: Listing, described: dict[str, Any], tell: Tell
) -> Plan:
    """The plan of a new run, or that of the run that is resumed."""
    run = output.run()
    if run is None:
        return _new_plan(options, output, listing, described, tell)
    if not options.resume:
        raise ScoreError(
            f"{options.output}: holds a run of {', '.join(run['inputs'])} already; "
            "go on with it by --resume, or choose another folder"
        )
    _refuse_differences(options.output, run, described)
    plan = Plan(output.path / PLAN)
    entries, shards = run["plan"]["entries"], run["plan"]["shards"]
    plan.check(listing, shards, lambda count: tell(Progress("comparing", count, entries)))
    return plan


def _new_plan(
    options: ScoreOptions, output: OutputFolder, listing: Listing, described: dict[str, Any], tell: Tell
) -> Plan:
    for name in listing.folders:
        within = os.path.join(os.path.realpath(name), b"")
        if os.path.join(os.fsencode(options.output.resolve()), b"").startswith(within):
            raise ScoreError(
                f"{options.output}: expected an output outside of the input {shown(name)}, "
                "where it would be listed; choose another folder"
            )
    folder = output.new_plan()
    extent = write_plan(folder, listing, options.shard_size, lambda count: tell(Progress("listing", count)))
    if not extent.entries:
        raise ScoreError(
            f"{', '.join(described['inputs'])}: expected images, found none"
            + _passed_over(listing.passed_over)
            + "; check the input"
        )
    run = described | {"plan": asdict(extent), "passed_over": dict(listing.passed_over)}
    output.begin(run)
    return Plan(folder)


def _passed_over(found: Mapping[str, int]) -> str:
    return f" (passed over: {commonest(found)})" if found else ""


def _refuse_differences(folder: Path, run: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises if a run was begun with anything that would make other rows."""
    flat = [_flat({key: values[key] for key in now}) for values in (run, now)]
    changed = [f"{key} was {flat[0].get(key)!r} and is {value!r}" for key, value in flat[1].items()
               if flat[0].get(key) != value]  # fmt: skip
    if changed:
        raise ScoreError(
            f"{folder}: cannot be resumed, since its rows would not go together: {'; '.join(changed)}; "
            "use what it was begun with, or choose another folder"
        )


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{key} ")
        else:
            found[above + key] = value
    return found


def _work(options: ScoreOptions, output: OutputFolder, plan: Plan, setup: Setup, tell: Tell) -> None:
    """Adds the part of each shard that is not done, as an engine gives it."""
    finished = output.done()
    lengths = plan.lengths()
    if len(finished) == len(lengths):
        return
    done, entries = sum(lengths[shard] for shard in finished), sum(lengths)
    engine, workers = _engine(options)
    output.begin_stint(options.engine, workers)
    start, images = time.monotonic(), 0
    tell(Progress("scoring", done, entries))
    with closing(engine(plan.shards(finished.__contains__), setup, workers)) as results:
        for scored in results:
            output.commit(scored)
            done, images = done + lengths[scored.shard], images + scored.tally.images
            tell(Progress("scoring", done, entries, images, time.monotonic() - start))


def _engine(options: ScoreOptions) -> tuple[Engine, int]:
    if options.engine == "local":
        return score_locally, options.workers or usable_cores()
    from crossfer.scale.cluster import connect  # noqa: PLC0415 - Ray takes long to import, and see prepare_ray

    return connect(options.address, options.workers, usable_cores())

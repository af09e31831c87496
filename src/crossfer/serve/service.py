"""What is served and how: everything that ``crossfer serve`` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from crossfer.defaults import DETECTOR_SIDE, MIN_FACE_SCORE, DetectorName
from crossfer.serve.access import Access
from crossfer.serve.limits import BATCH_DELAY, BATCH_SIZE, Limits


@dataclass(frozen=True)
class Service:
    """The settings of one service.

    Attributes:
        model: name or path of the model.
        detector: what finds the faces; ``"none"``: every image is a face crop already.
        min_face_score: faces that the detector is less sure of (0..1) are left out.
        detector_side: pixels of the longer side of what the detector looks at, at most.
        coverage: what a request gets that does not ask for a coverage; None for no prediction sets.
        abstain: whether the model may abstain in answers to requests that do not say.
        workers: threads that find and recognise faces.
        threads: CPU threads for each of them; None for one a core, within a container's share.
        batch_size: faces that go through the model together; 1 for no batching.
        batch_delay: seconds that found faces wait at most for those of other images that have come.
        limits: what is refused.
        access: who may use it.
    """

    model: str | Path = "default"
    detector: DetectorName = "centerface"
    min_face_score: float = MIN_FACE_SCORE
    detector_side: int = DETECTOR_SIDE
    coverage: float | None = None
    abstain: bool = False
    workers: int = 2
    threads: int | None = 1
    batch_size: int = BATCH_SIZE
    batch_delay: float = BATCH_DELAY
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)

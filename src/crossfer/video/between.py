"""Where faces are in the frames that the detector did not look at."""

from __future__ import annotations

from collections.abc import Sequence

from crossfer.runtime.detection import Detection
from crossfer.types import Box
from crossfer.video.tracks import Look


def faces_at(before: Look, after: Look, time: float) -> list[tuple[int, Detection]]:
    """The people seen in both looks, each where a straight, even motion from one to the other puts them.

    Args:
        before: a look.
        after: the next look.
        time: between the two, in seconds.

    Returns:
        Number of the person, and box, landmarks and score, all linear in time, by number.
    """
    share = (time - before.time) / (after.time - before.time)
    later = dict(faces_of(after))
    return [
        (track, _between(face, later[track], share)) for track, face in faces_of(before) if track in later
    ]


def faces_of(look: Look) -> list[tuple[int, Detection]]:
    """The people of one look, by number."""
    pairs = zip(look.tracks, look.detections, strict=True)
    return sorted(((track, face) for track, face in pairs if track is not None), key=lambda pair: pair[0])


def _between(one: Detection, other: Detection, share: float) -> Detection:
    box = _line(_numbers(one.box), _numbers(other.box), share)
    landmarks = tuple(
        (x + (x2 - x) * share, y + (y2 - y) * share)
        for (x, y), (x2, y2) in zip(one.landmarks, other.landmarks, strict=False)  # a detector may give none
    )
    return Detection(Box(*box), one.score + (other.score - one.score) * share, landmarks)


def _numbers(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.width, box.height


def _line(one: Sequence[float], other: Sequence[float], share: float) -> list[float]:
    return [a + (b - a) * share for a, b in zip(one, other, strict=True)]

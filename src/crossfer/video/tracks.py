"""Who is who: the detector's looks joined to tracks by ByteTrack.

Zhang et al. 2022, "ByteTrack: Multi-Object Tracking by Associating Every Detection Box" (ECCV), as the
package ``trackers`` implements it (Apache-2.0), with time stamps, so that a varying frame rate moves boxes as
far as time has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from supervision import Detections
from trackers import ByteTrackTracker

from crossfer.runtime.detector import Detection
from crossfer.types import Box

LOST_SECONDS = 1.0  # how long somebody who is out of sight is waited for
LEAST_OVERLAP = 0.1  # intersection over union of a face and the place where it was expected


@dataclass
class Look:
    """One frame that the detector looked at.

    Attributes:
        index: number of the frame.
        time: in seconds.
        detections: the faces, as the detector gave them.
        tracks: for each the number of the person, or None: a face too uncertain to count, or seen for the
            first time. In the latter case the next look enters the number here.
    """

    index: int
    time: float
    detections: tuple[Detection, ...]
    tracks: list[int | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, exact to the last bit; without the tracks, which follow from them."""
        faces = [
            [d.box.x, d.box.y, d.box.width, d.box.height, d.score, [list(p) for p in d.landmarks]]
            for d in self.detections
        ]
        return {"frame": self.index, "time": self.time, "faces": faces}


def look_from_dict(values: dict[str, Any]) -> tuple[int, float, tuple[Detection, ...]]:
    """Frame number, time and detections from what ``Look.to_dict`` gave."""
    detections = tuple(
        Detection(Box(*box), score, tuple((x, y) for x, y in landmarks))
        for *box, score, landmarks in values["faces"]
    )
    return values["frame"], values["time"], detections


class Tracks:
    """Gives the faces of successive looks the numbers of the people they belong to.

    A face counts from the second look in a row that saw it; it then also counts in the first. The same looks
    always give the same numbers.

    Args:
        min_face_score: only a face of at least this score (0..1) starts a track; one that is there is
            carried on by fainter ones.
        rate: expected looks per second; only scales the motion model, looks may come at any time.
    """

    def __init__(self, min_face_score: float, rate: float) -> None:
        self._min_face_score = min_face_score
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(LOST_SECONDS * 30),  # in frames at 30 a second, whatever the rate
            frame_rate=rate,
            track_activation_threshold=min_face_score,
            high_conf_det_threshold=min_face_score,
            minimum_consecutive_frames=2,
            minimum_iou_threshold=LEAST_OVERLAP,
        )
        self._known = 0
        self.last: Look | None = None

    def look(self, index: int, time: float, detections: Sequence[Detection]) -> Look:
        """Takes one more look, and enters into the look before who was seen there for the first time.

        Args:
            index: number of the frame.
            time: in seconds, later than that of the look before.
            detections: the faces, in any order.
        """
        tracks: list[int | None] = [None] * len(detections)
        for face, number in self._update(time, detections):
            tracks[face] = number + 1
            if number == self._known:
                self._known += 1
                self._enter_first(detections[face], number + 1)
        self.last = Look(index, time, tuple(detections), tracks)
        return self.last

    def close(self) -> None:
        """After the last look: faces seen there for the first time count as well, for want of another."""
        if self.last is not None:
            for face, detection in enumerate(self.last.detections):
                if self.last.tracks[face] is None and detection.score >= self._min_face_score:
                    self._known += 1
                    self.last.tracks[face] = self._known

    def _update(self, time: float, detections: Sequence[Detection]) -> list[tuple[int, int]]:
        """(index of the detection, the tracker's number) of every face that belongs to a track, by number."""
        boxes = np.array([_corners(d.box) for d in detections], np.float64).reshape(-1, 4)
        given = Detections(
            xyxy=boxes,
            confidence=np.array([d.score for d in detections], np.float64),
            data={"face": np.arange(len(detections))},
        )
        found = self._tracker.update(given, timestamp=time)
        if found.tracker_id is None or not len(found):
            return []
        pairs = zip(found.data["face"], found.tracker_id, strict=True)
        return sorted(((int(face), int(n)) for face, n in pairs if n >= 0), key=lambda pair: pair[1])

    def _enter_first(self, now: Detection, number: int) -> None:
        """A new track began with a face of the look before that had no number: the one that overlaps most."""
        if self.last is None:
            return
        overlaps = {
            face: _overlap(detection.box, now.box)
            for face, detection in enumerate(self.last.detections)
            if self.last.tracks[face] is None and detection.score >= self._min_face_score
        }
        if overlaps:
            self.last.tracks[max(overlaps, key=overlaps.__getitem__)] = number


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    left, top, right, bottom = _corners(one)
    left2, top2, right2, bottom2 = _corners(other)
    width, height = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (one.area + other.area - width * height)

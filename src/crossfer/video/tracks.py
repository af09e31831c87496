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
from scipy.optimize import linear_sum_assignment
from supervision import Detections
from trackers import BIoU, ByteTrackTracker

from crossfer.runtime.detection import Detection
from crossfer.types import Box

# How long somebody who is out of sight is waited for; where looks are rare on average, that many intervals
# between them.
LOST_SECONDS, LOST_LOOKS = 1.0, 2.5
# A face and the place where it was expected must overlap so much (intersection over union) after both boxes
# have been made twice as large: heads move by more than their width between two looks.
LEAST_OVERLAP, MARGIN = 0.1, 0.5


@dataclass
class Look:
    """One frame that the detector looked at.

    Attributes:
        index: number of the frame.
        time: in seconds.
        detections: the faces, as the detector gave them.
        tracks: for each the number of the person, or None: a face too uncertain to count, or seen for the
            first time. In the latter case the next look enters the number here.
        begins: a shot of the video begins with this frame.
    """

    index: int
    time: float
    detections: tuple[Detection, ...]
    tracks: list[int | None]
    begins: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, exact to the last bit; without the tracks, which follow from them."""
        faces = [
            [d.box.x, d.box.y, d.box.width, d.box.height, d.score, [list(p) for p in d.landmarks]]
            for d in self.detections
        ]
        return {"frame": self.index, "time": self.time, "faces": faces, "begins": self.begins}


def look_from_dict(values: dict[str, Any]) -> tuple[int, float, tuple[Detection, ...], bool]:
    """What ``Tracks.look`` takes, from what ``Look.to_dict`` gave."""
    detections = tuple(
        Detection(Box(*box), score, tuple((x, y) for x, y in landmarks))
        for *box, score, landmarks in values["faces"]
    )
    return values["frame"], values["time"], detections, bool(values["begins"])


class Tracks:
    """Gives the faces of successive looks the numbers of the people they belong to.

    A face counts from the second look in a row that saw it; it then also counts in the first. The same looks
    always give the same numbers.

    Args:
        min_face_score: only a face of at least this score (0..1) starts a track; one that is there is
            carried on by fainter ones.
        rate: expected looks per second; scales the motion model. Looks may come at any time.
    """

    def __init__(self, min_face_score: float, rate: float) -> None:
        self._min_face_score = min_face_score
        self._overlap = BIoU(MARGIN)
        self._before = 0  # people of the shots before
        self._tracker = ByteTrackTracker(
            # In frames at 30 a second, whatever the rate.
            lost_track_buffer=round(max(LOST_SECONDS, LOST_LOOKS / rate) * 30),
            frame_rate=rate,
            track_activation_threshold=min_face_score,
            high_conf_det_threshold=min_face_score,
            minimum_consecutive_frames=2,
            minimum_iou_threshold=LEAST_OVERLAP,
            iou=self._overlap,
        )
        self._patience = self._tracker.maximum_time_without_update
        self._known = 0
        self.last: Look | None = None

    def look(self, index: int, time: float, detections: Sequence[Detection], begins: bool = False) -> Look:
        """Takes one more look, and enters into the look before who was seen there for the first time.

        Args:
            index: number of the frame.
            time: in seconds, later than that of the look before.
            detections: the faces, in any order.
            begins: a shot begins with this frame: everybody in it gets a new number.
        """
        if begins:
            self._begin()
        if self.last is not None:
            # Two looks in a row join up however far they are apart, also where most are close together; a
            # hair more, since the tracker adds up its steps of time.
            step = 1.001 * (time - self.last.time)
            self._tracker.maximum_time_without_update = max(self._patience, step)
        tracks: list[int | None] = [None] * len(detections)
        for face, number in self._update(time, detections):
            tracks[face] = self._before + number + 1
        new = [face for face, track in enumerate(tracks) if track is not None and track > self._known]
        self._enter_first({face: tracks[face] for face in new}, detections)
        self._known += len(new)
        self.last = Look(index, time, tuple(detections), tracks, begins)
        return self.last

    def _begin(self) -> None:
        self.close()
        self._before, self.last = self._known, None
        self._tracker.reset()

    def close(self) -> None:
        """After the last look of a shot: faces seen there for the first time count as well."""
        if self.last is not None:
            for face, detection in enumerate(self.last.detections):
                if self.last.tracks[face] is None and detection.score >= self._min_face_score:
                    self._known += 1
                    self.last.tracks[face] = self._known

    def _update(self, time: float, detections: Sequence[Detection]) -> list[tuple[int, int]]:
        """(index of the detection, the tracker's number from 0) of every face that belongs to a track."""
        given = Detections(
            xyxy=_corners(detections),
            confidence=np.array([face.score for face in detections], np.float64),
            data={"face": np.arange(len(detections))},
        )
        found = self._tracker.update(given, timestamp=time)
        if found.tracker_id is None or not len(found):
            return []
        pairs = zip(found.data["face"], found.tracker_id, strict=True)
        return [(int(face), int(number)) for face, number in pairs if number >= 0]

    def _enter_first(self, new: dict[int, int | None], detections: Sequence[Detection]) -> None:
        """Every new track began with a face of the look before that had no number yet: as they overlap most.

        Args:
            new: the number of each face of this look whose track is new.
            detections: the faces of this look.
        """
        if self.last is None or not new:
            return
        free = [
            face
            for face, track in enumerate(self.last.tracks)
            if track is None and self.last.detections[face].score >= self._min_face_score
        ]
        overlaps = self._overlap.compute(
            _corners([detections[face] for face in new]), _corners([self.last.detections[f] for f in free])
        )
        numbers = list(new.values())
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            self.last.tracks[free[column]] = numbers[row]


def _corners(faces: Sequence[Detection]) -> np.ndarray:
    """Left, top, right, bottom of each box, shape (N, 4)."""
    boxes = [face.box for face in faces]
    return np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], np.float64).reshape(-1, 4)

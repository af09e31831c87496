"""Defaults and bounds that the command line shows and rooms go by, and words for both; light to import."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal["centerface", "none"]
MIN_FACE_SCORE = 0.5  # of CenterFace, where nothing else is asked for
DETECTOR_SIDE = 640  # pixels of the copy that CenterFace looks at, where nothing else is asked for
MAX_THREADS = 1024  # of inference, for each of detector and model

LEAST_COVERAGE, MOST_COVERAGE = 0.5, 0.999  # of prediction sets
SELECTIVE_ACCURACY = 0.95  # share of right answers that abstention is fitted to give

DETECT_EVERY, MOST_EVERY = 3, 30  # frames of a video from look to look
LEAST_SECONDS, MOST_SECONDS = 0.001, 3600  # from one frame of a video to the next, where not all are taken
SMOOTHING = 0.5  # seconds, time constant of the expressions in a video

SHARD_SIZE, MOST_IN_A_SHARD = 1024, 100_000  # images of a corpus in one part

RANGE_FACES, FEWEST_RANGE_FACES = 512, 64  # training faces on which quantising measures ranges
MAX_LOSS = 0.005  # of validation accuracy in quantising, in 0..1


def set_in_vain(detector: object, min_face_score: object, detector_side: object) -> str | None:
    """Which of the settings of CenterFace was changed although another detector, or none, is asked for."""
    if detector != "centerface" and min_face_score != MIN_FACE_SCORE:
        return "min_face_score"
    return "detector_side" if detector != "centerface" and detector_side != DETECTOR_SIDE else None

"""The words for what finds faces, its defaults and bounds, in every interface; light to import."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal["centerface", "none"]
MIN_FACE_SCORE = 0.5  # of CenterFace, where nothing else is asked for
DETECTOR_SIDE = 640  # pixels of the copy that CenterFace looks at, where nothing else is asked for
MAX_THREADS = 1024  # of inference, for each of detector and model


def set_in_vain(detector: object, min_face_score: object, detector_side: object) -> str | None:
    """Which of the settings of CenterFace was changed although another detector, or none, is asked for."""
    if detector != "centerface" and min_face_score != MIN_FACE_SCORE:
        return "min_face_score"
    return "detector_side" if detector != "centerface" and detector_side != DETECTOR_SIDE else None

"""The words for what finds faces and its defaults, in every interface; light to import."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal["centerface", "none"]
MIN_FACE_SCORE = 0.5  # of CenterFace, where nothing else is asked for
DETECTOR_SIDE = 640  # pixels, likewise

"""crossfer: facial expression recognition that can be trusted."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossfer.images.read import ImageError
    from crossfer.labels import LabelSet
    from crossfer.runtime.bundle import BundleError
    from crossfer.runtime.centerface import DetectorError
    from crossfer.runtime.detection import Detection, Detector
    from crossfer.runtime.recognizer import Recognizer
    from crossfer.types import Box, Face, Prediction

# From 1.29 on ONNX Runtime reports to its maker about the machine and the models that run on it, over the
# network and through files in the home folder, unless it finds this variable when it is loaded. Nothing
# leaves the machine here; whoever wants otherwise sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = [
    "Box",
    "BundleError",
    "Detection",
    "Detector",
    "DetectorError",
    "Face",
    "ImageError",
    "LabelSet",
    "Prediction",
    "Recognizer",
]
_LATE = {
    "Box": "crossfer.types",
    "BundleError": "crossfer.runtime.bundle",
    "Detection": "crossfer.runtime.detection",
    "Detector": "crossfer.runtime.detection",
    "DetectorError": "crossfer.runtime.centerface",
    "Face": "crossfer.types",
    "ImageError": "crossfer.images.read",
    "LabelSet": "crossfer.labels",
    "Prediction": "crossfer.types",
    "Recognizer": "crossfer.runtime.recognizer",
}


def __getattr__(name: str) -> Any:
    """Imports what takes a while to load, as NumPy, ONNX Runtime or FFmpeg, when it is first asked for."""
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    if name == "video":
        import crossfer.video  # noqa: PLC0415

        return crossfer.video
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names but ``video``: ``help`` asks for all that are listed, and its extra may be missing."""
    return [*__all__, "__version__"]

"""crossfer: facial expression recognition that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossfer.labels import LabelSet
from crossfer.types import Box, Face, Prediction

if TYPE_CHECKING:
    from crossfer.runtime.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["Box", "Face", "LabelSet", "Prediction", "Recognizer"]


def __getattr__(name: str) -> Any:
    """Imports what takes a while to load, ONNX Runtime or FFmpeg, when it is first asked for."""
    if name == "Recognizer":
        from crossfer.runtime.recognizer import Recognizer  # noqa: PLC0415

        return Recognizer
    if name == "video":
        import crossfer.video  # noqa: PLC0415

        return crossfer.video
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

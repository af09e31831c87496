"""Video: faces found, followed and recognised over time. Needs the extra ``video`` (PyAV and trackers)."""

from importlib.util import find_spec

_MISSING = [name for name in ("av", "trackers") if find_spec(name) is None]
if _MISSING:
    raise ImportError(f"crossfer.video needs {' and '.join(_MISSING)}: pip install 'crossfer[video]'")

from crossfer.video.frames import RecognizedFrame, TrackedFace  # noqa: E402 - after the check
from crossfer.video.recognize import VideoRecognizer, recognize_video  # noqa: E402
from crossfer.video.source import VideoError, VideoSource  # noqa: E402

__all__ = [
    "RecognizedFrame",
    "TrackedFace",
    "VideoError",
    "VideoRecognizer",
    "VideoSource",
    "recognize_video",
]

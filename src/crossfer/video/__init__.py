"""Video: faces found, followed and recognised over time. Needs the extra ``video`` (PyAV and trackers)."""

try:
    import av  # noqa: F401
    import trackers  # noqa: F401
except ImportError as error:
    advice = 'pip install ".[video]" in a checkout'
    if error.name not in {"av", "trackers"}:
        advice = (
            "OpenCV, which trackers brings, needs libGL on Linux: install Debian's libgl1, "
            "or opencv-python-headless in the place of opencv-python"
        )
    raise ImportError(f"crossfer.video cannot be loaded ({error}): {advice}") from error

from crossfer.video.draw import draw_frame
from crossfer.video.frames import Frame, RecognizedFrame, TrackedFace
from crossfer.video.recognize import VideoRecognizer, VideoSettings, recognize_video
from crossfer.video.source import VideoError, VideoSource

__all__ = [
    "Frame",
    "RecognizedFrame",
    "TrackedFace",
    "VideoError",
    "VideoRecognizer",
    "VideoSettings",
    "VideoSource",
    "draw_frame",
    "recognize_video",
]

"""Cameras and streams do not wait: what comes too fast is dropped, and counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from crossfer.video.frames import Frame
from crossfer.video.source import VideoSource

WAITING = 8  # frames that may wait


class LiveFrames:
    """Reads a live source in a thread of its own and hands out its frames; the oldest waiting one is dropped.

    Args:
        source: a camera or stream; its ``dropped`` counts.
    """

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True, name="video-source")

    def __iter__(self) -> Iterator[Frame]:
        """The frames as they come, until the source ends or ``close`` is called.

        Raises:
            VideoError: as ``VideoSource.frames`` does.
        """
        self._thread.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                frame = self._waiting.popleft()
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stops reading; returns when the thread has let go of the source."""
        with self._changed:
            self._ended = True
        if self._thread.is_alive():
            self._thread.join()

    def _read(self) -> None:
        try:
            for frame in self._source.frames():
                with self._changed:
                    if self._ended:
                        return
                    if len(self._waiting) == WAITING:
                        self._waiting.popleft()
                        self._source.dropped += 1
                    self._waiting.append(frame)
                    self._changed.notify()
        except Exception as error:  # handed to the thread that asks for frames
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

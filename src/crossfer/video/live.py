"""Cameras and streams do not wait: what comes too fast is dropped, and counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from crossfer.video.frames import Frame
from crossfer.video.source import VideoSource, Wanted, every_frame

WAITING = 8  # frames that may wait
PATIENCE = 0.1  # seconds until a silent source is asked again whether to stop
LETTING_GO = 1.0  # seconds that are enough to end a thread which is not waiting for the source


class LiveFrames:
    """Reads a live source in a thread of its own and hands out its frames; the oldest waiting one is dropped.

    Args:
        source: a camera or stream; its ``dropped`` counts.
        stopped: says, also while nothing comes from the source, whether to hand out no more.
        wanted: see ``VideoSource.frames``.
    """

    def __init__(
        self,
        source: VideoSource,
        stopped: Callable[[], bool] = lambda: False,
        wanted: Wanted = every_frame,
    ) -> None:
        self._source, self._stopped, self._wanted = source, stopped, wanted
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True, name="video-source")

    def __iter__(self) -> Iterator[Frame]:
        """The frames as they come, until the source ends, is to be stopped, or ``close`` is called.

        Raises:
            VideoError: as ``VideoSource.frames`` does.
        """
        self._thread.start()
        while True:
            with self._changed:
                while not (self._waiting or self._ended or self._stopped()):
                    self._changed.wait(PATIENCE)
                if self._stopped():
                    return
                if not self._waiting:
                    break
                frame = self._waiting.popleft()
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stops reading.

        A thread that waits for a silent source cannot be interrupted: it is left to end by itself, and the
        source is marked as in use.
        """
        with self._changed:
            self._ended = True
        try:
            if self._thread.is_alive():
                self._thread.join(LETTING_GO)
        finally:
            self._source.in_use = self._thread.is_alive()

    def _read(self) -> None:
        def wanted(time: float, before: float) -> bool:
            return self._ended or self._wanted(time, before)  # any frame will do to end at

        try:
            for frame in self._source.frames(wanted=wanted):
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

"""Recognition for many clients at once: threads that find faces, batches that recognise them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from crossfer.runtime.image import ImageError, decode
from crossfer.runtime.recognizer import Found, Recognizer
from crossfer.serve.answer import Answer
from crossfer.serve.batcher import Batcher
from crossfer.serve.jpeg_scans import count_scans
from crossfer.serve.limits import MAX_SCANS
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.service import Service
from crossfer.types import Face


class Engine:
    """Runs a recogniser off the event loop.

    An image is decoded and searched by one of several threads; the faces of all images that are ready go
    through the model together.

    Args:
        recognizer: does the work.
        monitoring: is told what happens.
        service: workers, batches and limits. With ``batch_size`` 1 the thread that searched an image also
            recognises its faces.
    """

    def __init__(self, recognizer: Recognizer, monitoring: Monitoring, service: Service) -> None:
        if service.workers < 1:
            raise ValueError(f"workers: expected at least 1, got {service.workers}")
        self.recognizer, self.limits = recognizer, service.limits
        self._monitoring = monitoring
        self._finders = ThreadPoolExecutor(service.workers, thread_name_prefix="crossfer-find")
        self._batching = service.batch_size > 1
        self._batcher: Batcher[Found, list[Face]] = Batcher(
            self._classify,
            lambda found: len(found.places),
            max_size=service.batch_size,
            max_wait=service.batch_delay,
            threads=service.workers,
        )

    async def recognize(self, data: bytes, name: str) -> Answer:
        """The faces in the bytes of an image file; ``name`` is what errors call it.

        Raises:
            ImageError: if the image cannot be used.
        """
        loop = asyncio.get_running_loop()
        if not self._batching:
            return await loop.run_in_executor(self._finders, self._at_once, data, name)
        with self._batcher.expected():
            found = await loop.run_in_executor(self._finders, self._find, data, name)
            future = self._batcher.submit(found)
        return _answer(found, await asyncio.wrap_future(future))

    def warm_up(self, image: bytes) -> None:
        """Loads what is loaded at the first image."""
        self._at_once(image, "warm-up")

    def ready(self) -> bool:
        """Whether images would be worked on."""
        return self._batcher.alive()

    def close(self) -> None:
        """Finishes what was taken on and ends all threads."""
        self._finders.shutdown()
        self._batcher.close()

    def _find(self, data: bytes, name: str) -> Found:
        if count_scans(data, MAX_SCANS) > MAX_SCANS:
            raise ImageError(
                f"{name}: expected a JPEG of at most {MAX_SCANS} scans, found more; save it anew"
            )
        return self.recognizer.find(decode(data, name, self.limits.pixels), self.limits.faces)

    def _classify(self, found: Sequence[Found]) -> list[list[Face]]:
        self._monitoring.batches.observe(sum(len(one.places) for one in found))
        return self.recognizer.answer(found)

    def _at_once(self, data: bytes, name: str) -> Answer:
        found = self._find(data, name)
        return _answer(found, self._classify([found])[0])


def _answer(found: Found, faces: list[Face]) -> Answer:
    return Answer(found.width, found.height, faces, found.left_out)

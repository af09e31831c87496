"""Recognition for many clients at once, faces of several images together, off the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from crossfer.images.cost import check_cost
from crossfer.images.read import ImageError, open_image, to_pixels
from crossfer.runtime.recognizer import FoundFaces, Recognizer
from crossfer.serve.answer import Answer
from crossfer.serve.batcher import Batcher, LaterError
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.problems import Problem
from crossfer.serve.service import Service

logger = logging.getLogger("crossfer.serve")


class Engine:
    """Runs a recogniser off the event loop.

    An image is decoded and searched by one of several threads, which also recognises its faces, together with
    those of other images that are ready. Of images of over half the pixels that are allowed one is worked on
    at a time, so that memory stays bounded; nobody waits for them but others of their kind.

    Args:
        recognizer: does the work.
        monitoring: is told what happens.
        service: workers, batches and limits.
    """

    def __init__(self, recognizer: Recognizer, monitoring: Monitoring, service: Service) -> None:
        self.recognizer, self.limits = recognizer, service.limits
        self._monitoring = monitoring
        self._large = threading.Lock()
        self._batcher: Batcher[tuple[bytes, str], FoundFaces, Answer] = Batcher(
            lambda source: self._find(*source),
            self._classify,
            lambda found: len(found.places),
            max_size=service.batch_size,
            max_wait=service.batch_delay,
            threads=service.workers,
        )

    async def recognize(self, data: bytes, name: str) -> Answer:
        """The faces in the bytes of an image file; ``name`` is what errors call it.

        Raises:
            Problem: if the image cannot be used, or memory is too short for it.
        """
        try:
            return await asyncio.wrap_future(self._batcher.submit((data, name)))
        except ImageError as error:
            raise Problem("unusable-image", f"{error}.") from error
        except MemoryError as error:
            logger.exception("not enough memory for an image")
            detail = "There is too little memory for it now; try again later, or with a smaller image."
            raise Problem("busy", detail, {"Retry-After": "5"}) from error

    def warm_up(self, image: bytes) -> None:
        """Loads what is loaded at the first image; it counts for nothing."""
        self.recognizer.answer([self._find(image, "warm-up")])

    def ready(self) -> bool:
        """Whether an image that came now would be worked on: not if no thread will be free in time for it."""
        return self._batcher.alive() and not self._batcher.stuck(self.limits.timeout)

    def close(self) -> None:
        """Finishes what was taken on, for as long as clients wait for it, and ends all threads."""
        self._batcher.close(self.limits.timeout)

    def _find(self, data: bytes, name: str) -> FoundFaces:
        check_cost(data, name)
        image = open_image(data, name, self.limits.pixels)
        large = 2 * image.width * image.height > self.limits.pixels
        with self._one_at_a_time() if large else nullcontext():
            pixels = to_pixels(image, name)
            del image  # it has the pixels too
            return self.recognizer.find(pixels, self.limits.faces)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Bounds memory: of large images one is decoded and searched, and the others are for later."""
        if not self._large.acquire(blocking=False):
            raise LaterError
        try:
            yield
        finally:
            self._large.release()

    def _classify(self, found: Sequence[FoundFaces]) -> list[Answer]:
        answers = [
            Answer(one.width, one.height, faces, one.left_out)
            for one, faces in zip(found, self.recognizer.answer(found), strict=True)
        ]
        if faces := sum(len(one.faces) for one in answers):
            self._monitoring.faces.inc(faces)
            self._monitoring.batches.observe(faces)
        return answers

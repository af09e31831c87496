"""Recognition for many clients at once, faces of several images together, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from crossfer.runtime.cost import check_cost
from crossfer.runtime.image import open_image, to_pixels
from crossfer.runtime.recognizer import Found, Recognizer
from crossfer.serve.answer import Answer
from crossfer.serve.batcher import Batcher
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.room import Room
from crossfer.serve.service import Service

# In images of the largest size: pixels that all threads together decode and search at a time. A photo takes 7
# bytes a pixel in that, a WebP 16.
DECODED_AT_ONCE = 1.5


class Engine:
    """Runs a recogniser off the event loop.

    An image is decoded and searched by one of several threads, which also recognises its faces, together with
    those of other images that are ready.

    Args:
        recognizer: does the work.
        monitoring: is told what happens.
        service: workers, batches and limits.
    """

    def __init__(self, recognizer: Recognizer, monitoring: Monitoring, service: Service) -> None:
        self.recognizer, self.limits = recognizer, service.limits
        self._monitoring = monitoring
        self._decoding = Room(round(DECODED_AT_ONCE * service.limits.pixels))
        self._batcher: Batcher[tuple[bytes, str], Found, Answer] = Batcher(
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
            ImageError: if the image cannot be used.
        """
        return await asyncio.wrap_future(self._batcher.submit((data, name)))

    def warm_up(self, image: bytes) -> None:
        """Loads what is loaded at the first image."""
        self._batcher.submit((image, "warm-up")).result()

    def ready(self) -> bool:
        """Whether an image that came now would be worked on: not if no thread will be free in time for it."""
        return self._batcher.alive() and not self._batcher.stuck(self.limits.timeout)

    def close(self) -> None:
        """Finishes what was taken on, for as long as clients wait for it, and ends all threads."""
        self._batcher.close(self.limits.timeout)

    def _find(self, data: bytes, name: str) -> Found:
        check_cost(data, name)
        image = open_image(data, name, self.limits.pixels)
        with self._decoding.taken(image.width * image.height):
            with image:
                pixels = to_pixels(image, name)
            return self.recognizer.find(pixels, self.limits.faces)

    def _classify(self, found: Sequence[Found]) -> list[Answer]:
        self._monitoring.batches.observe(sum(len(one.places) for one in found))
        return [
            Answer(one.width, one.height, faces, one.left_out)
            for one, faces in zip(found, self.recognizer.answer(found), strict=True)
        ]

"""How much one client, and all of them together, may ask of the service."""

from __future__ import annotations

from dataclasses import dataclass

MAX_NAME = 120  # characters kept of an image's name
HEADER_BYTES = 16 << 10  # request line and headers together
STREAM_HEADER_BYTES, STREAM_HEADERS = 8000, 120  # of a stream's request: a line, and how many lines
HEADER_SECONDS = 10.0  # from the first byte of a request, or from the connection, to the end of its headers
KEEP_ALIVE_SECONDS = 75  # more than the 60 s of usual proxies, so that they are the ones to close
STALLED_SECONDS = 30.0  # for a client that does not read its answer
PARTING_SECONDS = 1.0  # in which who has sent too much can take in that it was
FRAME_BYTES = 4 << 20  # one frame of a stream
IDLE_STREAM_SECONDS = 120.0
BATCH_SIZE = 32  # faces of all requests that go through the model together
BATCH_DELAY = 0.005  # seconds that found faces wait at most for those of other images


@dataclass(frozen=True)
class Limits:
    """What is refused, with a problem that says so.

    Attributes:
        body: bytes of one request's body.
        pixels: of one image, checked before it is decoded.
        faces: of one image; of more the largest are recognised and the others counted.
        images: in one request.
        queue: requests being received, waiting or worked on; one more gets 503 and ``Retry-After``.
        timeout: seconds in which a body must have come, and again in which its answer must be ready.
        connections: open at once, streams among them.
        streams: open at once.
    """

    body: int = 16 << 20
    pixels: int = 40_000_000
    faces: int = 100
    images: int = 16
    queue: int = 64
    timeout: float = 30
    connections: int = 256
    streams: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"limit {name}: expected a number above 0, got {value}")

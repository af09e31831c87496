"""A disk that fails in the middle of a video."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import av

from crossfer.video import source


@contextmanager
def failing_at_packet(number: int) -> Iterator[None]:
    """Reading fails where this packet of a video would come."""
    whole = source.packets_of

    def packets(container: av.container.InputContainer, *streams: av.stream.Stream) -> Iterator[av.Packet]:
        for at, packet in enumerate(whole(container, *streams)):
            if at == number:
                raise av.error.OSError(errno.EIO, "Input/output error")
            yield packet

    with patch.object(source, "packets_of", packets):
        yield

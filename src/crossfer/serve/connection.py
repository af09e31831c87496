"""A connection's patience: clients that send or read too slowly, and those too many, are let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from crossfer.serve.limits import (
    HEADER_SECONDS,
    PARTING_SECONDS,
    STALLED_SECONDS,
    STREAM_HEADER_BYTES,
    STREAM_HEADERS,
)
from crossfer.serve.places import busy
from crossfer.serve.problems import MEDIA_TYPE, Problem


class _NotForever(asyncio.Protocol):
    """What any connection has: a client that does not read what it is sent is let go."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    stalled_seconds = STALLED_SECONDS
    _write_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_write_timer()
        super().connection_lost(exc)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()


class _Connection(_NotForever, H11Protocol):
    """One connection; its limits are those that ``impatient`` was given, the rest is the web server's."""

    def __init__(self, *, most: int, header_seconds: float, stalled_seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self.most = most
        self.header_seconds = header_seconds
        self.stalled_seconds = stalled_seconds
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(busy(f"{self.most} connections are open, which is all it keeps"))
        else:
            self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        # What reads WebSockets takes less than HTTP does, and waits in silence for what it does not take.
        line = max(len(name) + len(value) + 4 for name, value in self.headers)
        if max(line, len(event.target) + 20) > STREAM_HEADER_BYTES or len(self.headers) > STREAM_HEADERS:
            expected = f"{STREAM_HEADERS} headers of {STREAM_HEADER_BYTES >> 10} KiB"
            self._refuse(Problem("headers-too-large", f"Expected at most {expected} for a stream."))
            return
        super().handle_websocket_upgrade(event)
        self.loop.call_later(self.header_seconds, _drop_if_silent, self.transport)

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("bad-request", "Expected an HTTP/1.1 request with headers of at most 16 KiB."))

    def _watch_headers(self) -> None:
        """Starts the clock when headers are awaited, or the rest of a body that was refused."""
        ours, theirs = self.conn.our_state, self.conn.their_state
        refused = ours is h11.DONE and theirs is h11.SEND_BODY
        awaited = (theirs is h11.IDLE or refused) and not self.transport.is_closing()
        if awaited and self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_seconds, self._too_slow)
        elif not awaited and self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # has had its answer
            self.transport.abort()
            return
        self._refuse(
            Problem(
                "slow-request",
                f"Expected the headers of a request within {self.header_seconds:g} seconds.",
                status=408,  # browsers take it for the end of a connection that they opened in advance
            )
        )

    def _refuse(self, problem: Problem) -> None:
        """Answers without the application, and closes."""
        if not self.transport.is_closing():
            self.transport.write(_raw(problem))
            self.transport.close()


def impatient(
    most: int, header_seconds: float = HEADER_SECONDS, stalled_seconds: float = STALLED_SECONDS
) -> Callable[..., H11Protocol]:
    """What makes the web server's connections of HTTP/1.1, with the limits that it lacks.

    Args:
        most: connections open at once.
        header_seconds: in which a request's headers must be complete.
        stalled_seconds: for which an answer may wait for a client that does not read.
    """
    return partial(_Connection, most=most, header_seconds=header_seconds, stalled_seconds=stalled_seconds)


class StreamConnection(_NotForever, WebSocketsSansIOProtocol):
    """The connection of a stream; what cannot be taken, as a frame too large, ends it with a reason."""

    def handle_parser_exception(self) -> None:
        """Says why, and discards what still comes: closed with that unread, TCP would lose the reason."""
        if self.close_sent:
            return
        if (told := self.conn.close_sent) is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": told.code, "reason": told.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():  # not within TLS
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(PARTING_SECONDS, self.transport.close)


def _drop_if_silent(transport: asyncio.Transport) -> None:
    """Let a connection go that became no stream although it asked to."""
    protocol = transport.get_protocol()
    if not getattr(protocol, "handshake_initiated", True):
        transport.abort()


def _raw(problem: Problem) -> bytes:
    values: dict[str, Any] = problem.to_dict()
    body = json.dumps(values).encode()
    headers = {
        **problem.headers,
        "Content-Type": MEDIA_TYPE,
        "Content-Length": len(body),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {values['status']} {values['title']}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body

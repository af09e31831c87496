"""The outermost layer: access, security headers, counting, and an answer to every failure."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Container

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossfer.serve.access import Access
from crossfer.serve.limits import HEADER_BYTES
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.problems import Problem

logger = logging.getLogger("crossfer.serve")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Wraps the application: nobody without access reaches it, and no exception leaves it.

    Args:
        app: what is guarded.
        access: who may pass.
        monitoring: is told of each request.
        paths: those that the application knows; all others are counted together, since clients make them up.
    """

    def __init__(self, app: ASGIApp, access: Access, monitoring: Monitoring, paths: Container[str]) -> None:
        self._app, self._access, self._monitoring, self._paths = app, access, monitoring, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request or stream; lifespan events pass through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        started = time.perf_counter()
        try:
            await self._answer(scope, receive, exchange)
        finally:
            endpoint = scope["path"] if scope["path"] in self._paths else "other"
            self._monitoring.requests.labels(endpoint, exchange.status).inc()
            if scope["type"] == "http":
                self._monitoring.seconds.labels(endpoint).observe(time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            _check_size(scope)
            self._access.check(scope["path"], Headers(scope=scope))
            await self._app(scope, receive, exchange.send)
        except Problem as problem:
            await exchange.refuse(problem, receive)
        except ClientDisconnect:
            return
        except Exception:
            mark = uuid.uuid4()
            logger.exception("unhandled error %s", mark)
            detail = "The operator finds it in the log under this instance."
            problem = Problem("internal", detail, members={"instance": f"urn:uuid:{mark}"})
            await exchange.refuse(problem, receive)


def _check_size(scope: Scope) -> None:
    """The parser's own limit lets through what arrives in one piece."""
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    size += len(scope.get("raw_path", b"")) + len(scope["query_string"])
    if size > HEADER_BYTES:
        raise Problem(
            "headers-too-large",
            f"Expected address and headers of at most {HEADER_BYTES >> 10} KiB, found {size >> 10} KiB.",
            {"Connection": "close"},
        )


class _Exchange:
    """One request or stream with what was sent for it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._started = False
        self.status = 499  # as nginx calls it: the client left before there was an answer

    async def send(self, message: Message) -> None:
        """Passes a message on, with the security headers in front."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        elif message["type"] == "websocket.accept":
            self.status = 101
        self._started = True
        await self._send(message)

    async def refuse(self, problem: Problem, receive: Receive) -> None:
        """Answers with a problem, or breaks off where an answer has begun."""
        if not self._started:
            await problem.response()(self._scope, receive, self.send)
        elif self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": 1011, "reason": ""})
        else:
            raise ConnectionAbortedError("an answer broke off")

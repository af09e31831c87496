"""What the outermost layer refuses before anything behind it is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crossfer.serve.access import Access
from crossfer.serve.guard import SECURITY_HEADERS, Guard
from crossfer.serve.limits import HEADER_BYTES
from crossfer.serve.monitoring import Monitoring


def status_of(headers: list[tuple[bytes, bytes]], path: str = "/", query: bytes = b"") -> int:
    """The status that a request gets from a guarded application that answers everything with 200."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
    }
    asyncio.run(Guard(app, Access(), Monitoring(), ())(scope, receive, send))
    names = {name.decode().lower() for name, _ in sent[0]["headers"]}
    assert {name.lower() for name in SECURITY_HEADERS} <= names
    return sent[0]["status"]


@pytest.mark.parametrize("size", [1000, HEADER_BYTES // 2, HEADER_BYTES + 1])
def test_address_query_and_headers_count_together(size: int) -> None:
    half = b"a" * (size // 2 + 1)
    expected = 200 if size < HEADER_BYTES else 431
    assert status_of([(b"cookie", half), (b"x", half)]) == expected
    assert status_of([(b"cookie", half)], query=half) == expected
    assert status_of([(b"cookie", half)], path=f"/{half.decode()}") == expected

"""The page's files, read once; a request names one of them or gets nothing, so no path is ever followed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

PAGE_PACKAGE = "crossfer.serve"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page, ready to send."""

    content: bytes
    media_type: str
    tag: str


def page_files() -> dict[str, PageFile]:
    """The page's files by the address at which they are served; ``index.html`` is ``/``."""
    found = {}
    for entry in sorted((files(PAGE_PACKAGE) / "page").iterdir(), key=lambda entry: entry.name):
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _TYPES:
            content = entry.read_bytes()
            address = "/" if entry.name == "index.html" else f"/{entry.name}"
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[address] = PageFile(content, _TYPES[suffix], tag)
    return found


def serve_file(file: PageFile, request: Request) -> Response:
    """The file, or 304 if the browser has it already."""
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)

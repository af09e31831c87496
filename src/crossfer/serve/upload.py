"""From a request's body to images in memory; nothing is written to disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from crossfer.serve.limits import MAX_NAME, Limits
from crossfer.serve.problems import Problem

FIELD = "image"
RAW_TYPES = (
    "application/octet-stream",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/tiff",
)
_MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Upload:
    """One image as it came.

    Attributes:
        name: what the client called it, for its own use; never a path here.
        data: the bytes of an image file, not looked at yet.
    """

    name: str
    data: bytes


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The images of a request, raw or as the parts ``image`` of a form.

    Raises:
        Problem: if the type, the size, the form or the client's pace is not as it should be.
        ClientDisconnect: if the client went away.
    """
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    kind = content_type.decode("latin-1").lower()
    if kind != _MULTIPART and kind not in RAW_TYPES:
        raise Problem("unsupported-type", _type_detail(kind), {"Accept": ", ".join((_MULTIPART, *RAW_TYPES))})
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported-type", "Expected a body without Content-Encoding; send the file as it is.")
    body = await _read_body(request, limits)
    if kind != _MULTIPART:
        return [Upload("image", body)]
    boundary = options.get(b"boundary", b"")
    # A body made to be slow to split must not hold up the event loop.
    return await asyncio.to_thread(split_form, body, boundary, limits)


def _type_detail(kind: str) -> str:
    return (
        f"Expected an image ({', '.join(RAW_TYPES[1:])}), application/octet-stream or {_MULTIPART} with the "
        f"field {FIELD!r}, found {kind[:MAX_NAME] or 'no content type'!r}; with curl: -F image=@photo.jpg"
    )


async def _read_body(request: Request, limits: Limits) -> bytes:
    """The whole body, refused as soon as it is too large or too late."""
    largest = f"at most {limits.body / (1 << 20):g} MiB"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.body:
        raise Problem("too-large", f"Expected a body of {largest}, found {declared[:20]} bytes declared.")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limits.body:
                    raise Problem("too-large", f"Expected a body of {largest}, found a larger one.")
                body += chunk
    except TimeoutError as error:
        raise Problem(
            "slow-request",
            f"Expected the body within {limits.timeout:g} seconds, had {len(body)} bytes by then.",
            {"Connection": "close"},
        ) from error
    return bytes(body)


def split_form(body: bytes, boundary: bytes, limits: Limits) -> list[Upload]:
    """The files in the parts ``image`` of a ``multipart/form-data`` body.

    Args:
        body: the whole body.
        boundary: from its content type.
        limits: how many parts there may be.

    Raises:
        Problem: if the form is malformed, has other fields, no image, or too many.
    """
    form = _Form(limits.images)
    callbacks = {
        "on_part_begin": form.begin,
        "on_header_field": form.header_name,
        "on_header_value": form.header_value,
        "on_header_end": form.header_end,
        "on_part_data": form.data,
        "on_part_end": form.end,
        "on_end": form.close,
    }
    try:
        if not boundary:
            raise FormParserError("no boundary in the content type")
        MultipartParser(boundary, callbacks).write(body)  # type: ignore[arg-type]
    except FormParserError as error:
        raise Problem("bad-request", f"Expected {_MULTIPART} as RFC 7578 has it; {error}.") from error
    if not form.closed:
        raise Problem("bad-request", f"Expected {_MULTIPART} with a closing boundary, found none.")
    if not form.uploads:
        raise Problem(
            "invalid-parameter", f"Expected at least one field {FIELD!r} with an image, found none."
        )
    return form.uploads


class _Form:
    """Gathers the parts of a form as the parser tells of them."""

    def __init__(self, most: int) -> None:
        self.uploads: list[Upload] = []
        self.closed = False
        self._most = most
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._data = bytearray(), bytearray(), bytearray()

    def begin(self) -> None:
        if len(self.uploads) == self._most:
            raise Problem(
                "too-large",
                f"Expected at most {self._most} images in a request, found more; send them apart.",
            )
        self._headers, self._data = {}, bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            raise Problem(
                "invalid-parameter", f"Expected only the field {FIELD!r}, found {short_name(field)!r}."
            )
        name = short_name(options.get(b"filename", b"image").decode("utf-8", "replace"))
        self.uploads.append(Upload(name or "image", bytes(self._data)))

    def close(self) -> None:
        self.closed = True


def short_name(name: str) -> str:
    r"""A client's name for something, short and without control characters.

    >>> short_name("a\x1b[2J\n" + "b" * 200)[:6]
    'a?[2J?'
    """
    return "".join(character if character.isprintable() else "?" for character in name[:MAX_NAME])

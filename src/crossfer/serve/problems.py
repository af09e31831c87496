"""Errors as clients see them: problem details (RFC 9457), never a path or a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:crossfer:problem:"

# Every problem that this service can answer with: name -> status and title. docs/serve.md lists them.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request is malformed"),
    "slow-request": (400, "The request took too long to arrive"),  # after 408 browsers send a body again
    "unauthorized": (401, "A token is needed"),
    "foreign-origin": (403, "Pages of other sites may not use this service"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This method is not allowed here"),
    "too-large": (413, "The request is too large"),
    "unsupported-type": (415, "The content type is not supported"),
    "wrong-host": (421, "The request is meant for another host"),
    "invalid-parameter": (422, "A parameter is out of its range"),
    "upgrade-required": (426, "A stream is a WebSocket"),
    "headers-too-large": (431, "The headers are too large"),
    "unusable-image": (422, "No image could be used"),
    "not-calibrated": (422, "The model cannot say this"),
    "internal": (500, "Something went wrong in the service"),
    "busy": (503, "The service is busy"),
    "timeout": (503, "The answer took too long"),
    "not-ready": (503, "The service is not ready"),
    "http-error": (400, "The request cannot be served"),
}
_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 422: "invalid-parameter"}


@dataclass
class Problem(Exception):  # noqa: N818 - the RFC's own word
    """An error to answer with.

    Attributes:
        name: key of ``PROBLEMS``.
        detail: one or two sentences: what was expected, what was found, what to do.
        headers: of the response.
        members: further members of the JSON object.
        status: replaces the one of ``PROBLEMS``.
    """

    name: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        status, title = PROBLEMS[self.name]
        return {
            "type": TYPE_PREFIX + self.name,
            "title": title,
            "status": self.status or status,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> Response:
        """The HTTP response."""
        values = self.to_dict()
        return Response(json.dumps(values), values["status"], dict(self.headers), media_type=MEDIA_TYPE)


def for_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for an error that the framework found, such as 404 or 405."""
    phrase = HTTPStatus(status).phrase.lower()
    allowed = (headers or {}).get("Allow") or (headers or {}).get("allow")
    detail = {
        404: "No such address; GET /openapi.json lists those there are.",
        405: f"Expected the method {allowed}." if allowed else "Expected another method.",
    }.get(status, f"The request cannot be served: {phrase}.")
    return Problem(_BY_STATUS.get(status, "http-error"), detail, headers or {}, status=status)


def for_parameters(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problem for parameters that failed validation; what was sent is not repeated."""
    found = [{"parameter": ".".join(map(str, error["loc"][1:])), "detail": error["msg"]} for error in errors]
    detail = "; ".join(f"{one['parameter']}: {one['detail']}" for one in found)
    return Problem("invalid-parameter", detail, members={"errors": found})

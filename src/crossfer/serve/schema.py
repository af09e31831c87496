"""The forms of requests and answers, for OpenAPI; tests hold the answers to them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import Response

from crossfer.serve.access import GUARDED_PREFIXES
from crossfer.serve.problems import MEDIA_TYPE, PROBLEMS, TYPE_PREFIX
from crossfer.serve.upload import FIELD, RAW_TYPES

Share = Annotated[float, Field(ge=0, le=1)]
Grid = list[list[float]]


class ParameterError(BaseModel):
    """A parameter that is out of its range."""

    parameter: str
    detail: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=[TYPE_PREFIX + "unusable-image"])
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    instance: str | None = None
    errors: list[ParameterError] | None = None


class Rectangle(BaseModel):
    """In pixels of the upright image; x right, y down."""

    x: float
    y: float
    width: float
    height: float


class Evidence(BaseModel):
    """For each expression G x G cells over the region that the model saw; they sum to its logit."""

    region: Rectangle
    cells: dict[str, Grid]


class RecognizedFace(BaseModel):
    """One face; ``prediction_set``, ``answer`` and ``evidence`` only where they were asked for."""

    box: Rectangle
    detection_score: Share | None
    landmarks: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    expression: str
    confidence: Share
    probabilities: dict[str, Share]
    prediction_set: list[str] | None = None
    answer: str | None = None
    evidence: Evidence | None = None


class RecognizedImage(BaseModel):
    """One image, its faces largest first; or the problem with it."""

    name: str
    width: int | None
    height: int | None
    faces: list[RecognizedFace]
    faces_left_out: int
    error: ProblemDetails | None


class Recognition(BaseModel):
    """The images of a request, in the order in which they were sent."""

    model: str
    images: list[RecognizedImage]


class Accuracy(BaseModel):
    """As ``crossfer evaluate`` measured it for exactly this file."""

    accuracy: Share
    interval: Annotated[list[float], Field(min_length=2, max_length=2)]
    n: int
    data: str
    split: str | None
    protocol: str | None


class Input(BaseModel):
    """The model's square input in pixels."""

    size: int
    color: str


class Model(BaseModel):
    """What a model says about itself."""

    name: str
    sha256: str
    label_set: str
    labels: list[str]
    input: Input
    evidence_grid: int
    calibrated: bool
    abstains_below: float | None
    accuracy: Accuracy | None
    license: str | None


class Defaults(BaseModel):
    """What a request gets that does not say otherwise."""

    coverage: float | None
    abstain: bool
    detector: str


class Models(BaseModel):
    """The models served."""

    models: list[Model]
    defaults: Defaults


class Status(BaseModel):
    """A probe's answer."""

    status: str


# What the default model says about the portrait that scikit-image carries: coverage=0.9, abstain, top_k=3.
EXAMPLE = {
    "model": "base-int8",
    "images": [
        {
            "name": "photo.jpg",
            "width": 512,
            "height": 512,
            "faces": [
                {
                    "box": {"x": 181.53, "y": 58.2, "width": 88.35, "height": 119.61},
                    "detection_score": 0.9291,
                    "landmarks": [
                        [203.15, 101.68],
                        [247.01, 104.51],
                        [223.26, 125.08],
                        [203.38, 142.33],
                        [241.33, 144.42],
                    ],
                    "expression": "happiness",
                    "confidence": 0.999998,
                    "probabilities": {"happiness": 0.999998, "neutral": 2e-06, "surprise": 0.0},
                    "prediction_set": ["happiness"],
                    "answer": "happiness",
                }
            ],
            "faces_left_out": 0,
            "error": None,
        }
    ],
}

_BINARY = {"type": "string", "format": "binary"}
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {FIELD: {"type": "array", "minItems": 1, "items": _BINARY}},
                }
            },
            **{kind: {"schema": _BINARY} for kind in RAW_TYPES},
        },
    }
}


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's entries for the problems that an operation may answer with."""
    entries: dict[int | str, dict[str, Any]] = {}
    for name in names:
        status, title = PROBLEMS[name]
        entry = entries.setdefault(
            status,
            {
                "description": title,
                "content": {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "examples": {}}
                },
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][name] = {
            "value": {"type": TYPE_PREFIX + name, "title": title, "status": status, "detail": "..."}
        }
    return entries


_ANYWHERE = problem_responses("wrong-host", "headers-too-large", "internal", "busy")
_GUARDED = {**_ANYWHERE, **problem_responses("unauthorized", "foreign-origin")}
_PLAIN = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
HEALTH: dict[str, Any] = {"tags": ["operation"], "response_model": Status, "responses": _ANYWHERE}
READINESS: dict[str, Any] = {**HEALTH, "responses": {**_ANYWHERE, **problem_responses("not-ready", "busy")}}
METRICS: dict[str, Any] = {
    "tags": ["operation"],
    "response_class": Response,
    "responses": {**_PLAIN, **_GUARDED},
}
MODELS: dict[str, Any] = {
    "tags": ["recognition"],
    "response_model": Models,
    "responses": _GUARDED,
}
RECOGNIZE: dict[str, Any] = {
    "tags": ["recognition"],
    "response_model": Recognition,
    "responses": {
        200: {"content": {"application/json": {"example": EXAMPLE}}},
        **_GUARDED,
        **problem_responses(
            "bad-request",
            "slow-request",
            "too-large",
            "unsupported-type",
            "invalid-parameter",
            "unusable-image",
            "not-calibrated",
            "busy",
            "timeout",
        ),
    },
    "openapi_extra": REQUEST_BODY,
}


def complete(app: FastAPI, *, token: bool) -> None:
    """Adds to an application's OpenAPI what FastAPI does not know: the form of problems, and the token."""
    described = app.openapi()
    details = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    described["components"]["schemas"] |= {**details.pop("$defs", {}), "ProblemDetails": details}
    if token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in described["paths"].items():
            for operation in operations.values() if path.startswith(GUARDED_PREFIXES) else ():
                operation["security"] = [{"token": []}]
    app.openapi_schema = described

"""The endpoints that recognise: images in a request, frames in a stream, and what the model is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from http import HTTPMethod
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from crossfer.defaults import LEAST_COVERAGE, MOST_COVERAGE
from crossfer.runtime.bundle import BundleError
from crossfer.runtime.decision import Decision
from crossfer.serve import schema
from crossfer.serve.access import PROTOCOL
from crossfer.serve.answer import Answer, AnswerOptions, values_of, write
from crossfer.serve.engine import Engine
from crossfer.serve.model_info import model_info
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.places import Places
from crossfer.serve.presence import while_present
from crossfer.serve.problems import Problem
from crossfer.serve.service import Service
from crossfer.serve.stream import stream
from crossfer.serve.upload import Upload, read_uploads, short_name

PARAMETERS = ("coverage", "abstain", "evidence", "top_k")
NO_STORE = {"Cache-Control": "no-store"}
Coverage = Annotated[
    float | None,
    Query(
        ge=LEAST_COVERAGE,
        le=MOST_COVERAGE,
        description="Also give the set of expressions that holds the true one this often.",
    ),
]
Abstain = Annotated[
    bool | None,
    Query(description="Also give `answer`: the expression, or 'uncertain' where the model is too unsure."),
]
WithEvidence = Annotated[bool, Query(description="Also give the evidence for each expression.")]
TopK = Annotated[
    int | None, Query(ge=1, le=1000, description="Give only so many probabilities of each face.")
]


def _refuse_unknown(names: Iterable[str]) -> None:
    """Whoever misspells ``abstain`` would be given answers that should have been withheld."""
    if unknown := sorted(set(names) - set(PARAMETERS)):
        raise Problem(
            "invalid-parameter",
            f"Expected only the parameters {', '.join(PARAMETERS)}, found {short_name(unknown[0])!r}.",
        )


class Endpoints:
    """What they share, and how they are added to the application.

    Args:
        service: what is served and how.
        engine: does the work.
        monitoring: is told what happens.
    """

    def __init__(self, service: Service, engine: Engine, monitoring: Monitoring) -> None:
        self._service, self._engine, self._monitoring = service, engine, monitoring
        self._meta = engine.recognizer.meta
        self._requests = Places(service.limits.queue, "requests", monitoring.in_flight)
        self._streams = Places(service.limits.streams, "streams", monitoring.streams)
        self._models = {
            "models": [model_info(engine.recognizer)],
            "defaults": {
                "coverage": service.coverage,
                "abstain": service.abstain,
                "detector": engine.recognizer.detector_name,
            },
        }

    def check_ready(self) -> None:
        """Lets a probe pass if a request that came now would be taken on and worked on.

        Raises:
            Problem: if not.
        """
        if not self._engine.ready():
            seconds = f"{self._engine.limits.timeout:g} seconds"
            detail = (
                f"Expected a thread that is free within {seconds}, found none; start it anew if that stays."
            )
            raise Problem("not-ready", detail, {"Retry-After": "5"})
        self._requests.check()

    def add_to(self, app: FastAPI) -> None:
        """Registers the endpoints."""

        async def options(
            connection: HTTPConnection,
            coverage: Coverage = None,
            abstain: Abstain = None,
            evidence: WithEvidence = False,
            top_k: TopK = None,
        ) -> AnswerOptions:
            _refuse_unknown(connection.query_params.keys())
            return self._answer_options(coverage, abstain, evidence=evidence, top_k=top_k)

        @app.get("/v1/models", **schema.MODELS)
        async def models() -> Response:
            """The model that is served, with the accuracy that was measured for exactly this file."""
            return JSONResponse(self._models, headers=NO_STORE)

        @app.post("/v1/recognize", **schema.RECOGNIZE)
        async def recognize(request: Request, options: AnswerOptions = Depends(options)) -> Response:
            """The expressions of all faces in one image (raw) or several (form).

            An image that cannot be used has an `error` beside the answers for the others; if none can be
            used, the whole answer is a problem.
            """
            with self._requests.taken():
                uploads = await read_uploads(request, self._engine.limits)
                body = await while_present(request, self._recognize(uploads, options))
            return Response(body, headers=NO_STORE, media_type="application/json")

        @app.api_route("/v1/stream", methods=list(HTTPMethod), include_in_schema=False)
        async def no_frames() -> None:
            raise Problem(
                "upgrade-required",
                "Expected a WebSocket, found a plain request; let a proxy in between pass on the headers "
                "Upgrade and Connection.",
                {"Upgrade": "websocket", "Connection": "Upgrade"},
            )

        @app.websocket("/v1/stream")
        async def frames(websocket: WebSocket, options: AnswerOptions = Depends(options)) -> None:
            with self._streams.taken():
                offered = websocket.scope.get("subprotocols", [])
                await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
                await stream(websocket, self._engine, options, self._monitoring)

    def _answer_options(
        self, coverage: float | None, abstain: bool | None, *, evidence: bool, top_k: int | None
    ) -> AnswerOptions:
        try:
            decision = Decision.of(
                self._meta,
                self._service.coverage if coverage is None else coverage,
                abstain=self._service.abstain if abstain is None else abstain,
            )
        except BundleError as error:
            raise Problem("not-calibrated", f"{error}.") from error
        return AnswerOptions(decision, evidence, top_k)

    async def _recognize(self, uploads: Sequence[Upload], options: AnswerOptions) -> bytes:
        """The JSON text for the images of a request.

        Raises:
            Problem: if none could be used, or it took too long.
        """
        seconds = self._engine.limits.timeout
        try:
            async with asyncio.timeout(seconds):
                found = await asyncio.gather(*map(self._try, uploads))
        except TimeoutError as error:
            self._monitoring.images.labels("late").inc(len(uploads))
            detail = f"No answer within {seconds:g} seconds; try again later, or with a smaller image."
            raise Problem("timeout", detail, {"Retry-After": "5"}) from error
        problems = [one for one in found if isinstance(one, Problem)]
        self._monitoring.images.labels("refused").inc(len(problems))
        self._monitoring.images.labels("answered").inc(len(found) - len(problems))
        if len(problems) == len(found):
            raise _joined(problems)
        return await write(found, lambda: self._render(uploads, found, options))

    async def _try(self, upload: Upload) -> Answer | Problem:
        try:
            return await self._engine.recognize(upload.data, upload.name)
        except Problem as problem:
            return problem

    def _render(
        self, uploads: Sequence[Upload], found: Sequence[Answer | Problem], options: AnswerOptions
    ) -> bytes:
        images = [
            {"name": upload.name, **values_of(one, options, self._meta)}
            for upload, one in zip(uploads, found, strict=True)
        ]
        return json.dumps({"model": self._meta.name, "images": images}).encode()


def _joined(problems: Sequence[Problem]) -> Problem:
    """What a request gets of whose images none was answered: to try again, if that may help one of them."""
    passing = [problem for problem in problems if problem.name != "unusable-image"]
    return passing[0] if passing else Problem("unusable-image", " ".join(one.detail for one in problems))

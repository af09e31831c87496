"""The application: which address does what, and what is around all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO

import numpy as np
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from PIL import Image
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from crossfer import __version__
from crossfer.runtime.decision import Decision
from crossfer.runtime.recognizer import Recognizer
from crossfer.serve import schema
from crossfer.serve.endpoints import NO_STORE, Endpoints
from crossfer.serve.engine import Engine
from crossfer.serve.guard import Guard
from crossfer.serve.monitoring import CONTENT_TYPE, Monitoring
from crossfer.serve.problems import Problem, for_parameters, for_status
from crossfer.serve.service import Service
from crossfer.serve.site import PageFile, page_files, serve_file

BLANK = np.zeros((32, 32, 3), np.uint8)
_ABOUT = """Names the expression that each face in a picture shows, with calibrated probabilities.

An expression is what a face shows, not what a person feels. Images are held in memory until they are
answered, and never written to disk or to a log."""


def create_app(service: Service, recognizer: Recognizer | None = None) -> FastAPI:
    """The ASGI application; it owns threads, which end with its lifespan.

    Args:
        service: what is served and how.
        recognizer: does the work, without a coverage or abstention of its own; None makes one as the service
            says.

    Raises:
        BundleError: if the model cannot be used, gives answers that are not finite, or lacks the calibration
            that the service's coverage or abstention needs.
    """
    if recognizer is None:
        recognizer = Recognizer(
            service.model,
            service.detector,
            service.min_face_score,
            service.threads,
            detector_side=service.detector_side,
        )
    Decision.of(recognizer.meta, service.coverage, abstain=service.abstain)
    recognizer.classify([BLANK])  # what a model cannot do at all is told here, in one sentence
    monitoring = Monitoring()
    engine = Engine(recognizer, monitoring, service)
    app = FastAPI(
        title="crossfer",
        version=__version__,
        description=_ABOUT,
        lifespan=_lifespan(engine),
        docs_url=None,  # the usual viewers fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    _handle_errors(app)
    endpoints = Endpoints(service, engine, monitoring)
    _add_probes(app, endpoints, monitoring)
    endpoints.add_to(app)
    app.add_api_websocket_route("/{path:path}", _no_stream)
    for address, file in page_files().items():
        app.add_route(address, _sender(file), include_in_schema=False)
    schema.complete(app, token=service.access.token is not None)
    _surround(app, service, monitoring)
    return app


def _lifespan(engine: Engine) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        buffer = BytesIO()
        Image.new("RGB", (64, 64), "gray").save(buffer, "PNG")
        await asyncio.to_thread(engine.warm_up, buffer.getvalue())
        yield
        await asyncio.to_thread(engine.close)

    return lifespan


async def _no_stream(_: WebSocket) -> None:
    """Where no other WebSocket is; the framework alone would close without a word."""
    raise HTTPException(404)


def _sender(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return serve_file(file, request)

    return send


class _Sites(CORSMiddleware):
    """Answers preflights of the sites that are allowed; those of others are refused further in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        if headers is None or self.is_allowed_origin(headers.get("origin", "")):
            await super().__call__(scope, receive, send)
        else:
            await self.simple_response(scope, receive, send, headers)


def _surround(app: FastAPI, service: Service, monitoring: Monitoring) -> None:
    """Adds the layers around all endpoints, innermost first."""
    routes = [route for route in app.routes if isinstance(route, (Route, WebSocketRoute))]
    paths = {route.path for route in routes if "{" not in route.path}  # no client asks for a pattern
    app.add_middleware(Guard, access=service.access, monitoring=monitoring, paths=paths)
    if service.access.origins:
        app.add_middleware(
            _Sites,
            allow_origins=list(service.access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            allow_private_network=True,  # browsers ask before a public site may reach this machine
        )


def _handle_errors(app: FastAPI) -> None:
    """Every error that the framework or an endpoint raises becomes a problem."""

    def handle(kind: type[Exception], problem: Callable[..., Problem]) -> None:
        async def answer(connection: HTTPConnection, error: Exception) -> Response | None:
            response = problem(error).response()
            if not isinstance(connection, WebSocket):
                return response
            await connection.send_denial_response(response)
            return None

        app.add_exception_handler(kind, answer)  # type: ignore[arg-type]

    handle(Problem, lambda error: error)
    handle(HTTPException, lambda error: for_status(error.status_code, error.headers))
    handle(RequestValidationError, lambda error: for_parameters(error.errors()))
    handle(WebSocketRequestValidationError, lambda error: for_parameters(error.errors()))


def _add_probes(app: FastAPI, endpoints: Endpoints, monitoring: Monitoring) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", **schema.HEALTH)
    async def healthz() -> Response:
        """Whether the process answers at all."""
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", **schema.READINESS)
    async def readyz() -> Response:
        """Whether a request that came now would be worked on: there is room in the queue, and a thread."""
        endpoints.check_ready()
        return JSONResponse({"status": "ready"}, headers=NO_STORE)

    @app.get("/metrics", **schema.METRICS)
    async def metrics() -> Response:
        """Counts and durations for Prometheus."""
        return Response(monitoring.text(), headers={**NO_STORE, "Content-Type": CONTENT_TYPE})

"""Frames come in over a WebSocket, answers go out; of frames that come too fast the oldest are dropped."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from crossfer.serve.answer import Answer, AnswerOptions, values_of, write
from crossfer.serve.engine import Engine
from crossfer.serve.limits import IDLE_STREAM_SECONDS, STALLED_SECONDS
from crossfer.serve.monitoring import Monitoring
from crossfer.serve.problems import Problem

BACKLOG = 2  # frames that wait while one is worked on: more would only make answers older
UNSUPPORTED_DATA = 1003  # RFC 6455, section 7.4.1
GOING_AWAY = 1001


class Frames:
    """Frames that wait, newest kept: a new one pushes out the oldest."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self.received = 0
        self.dropped = 0

    def put(self, data: bytes) -> bool:
        """Adds a frame; says whether an older one was dropped for it."""
        self.received += 1
        full = len(self._waiting) == BACKLOG
        if full:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((self.received, data))
        self._changed.set()
        return full

    def close(self) -> None:
        """No more frames will come."""
        self._closed = True
        self._changed.set()

    async def get(self) -> tuple[int, bytes] | None:
        """The oldest frame that waits, with its number from 1; None after the last."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


async def stream(
    websocket: WebSocket, engine: Engine, options: AnswerOptions, monitoring: Monitoring
) -> None:
    """Answers the frames of an accepted WebSocket until the client leaves or falls silent.

    Each binary message is the content of an image file. Each answer is a JSON object as for a single image,
    with ``frame``, the number of the frame, and ``dropped``, how many were passed over so far.
    """
    frames = Frames()
    reading = asyncio.create_task(_read(websocket, frames, monitoring))
    answering = asyncio.create_task(_answer(websocket, frames, engine, options, monitoring))
    try:
        # Who has left may come back at once, and wants the place in which a last frame is still worked on.
        await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, answering):
            if task.done():
                task.result()
    finally:
        reading.cancel()
        answering.cancel()
        await asyncio.gather(reading, answering, return_exceptions=True)


async def _answer(
    websocket: WebSocket, frames: Frames, engine: Engine, options: AnswerOptions, monitoring: Monitoring
) -> None:
    """Answers frames until the last, or until the client takes no more answers."""
    while (entry := await frames.get()) is not None:
        number, data = entry
        found = await _recognize(engine, data, f"frame {number}")
        monitoring.frames.labels(_outcome(found)).inc()
        count = {"frame": number, "dropped": frames.dropped}
        text = await write([found], partial(_render, count, found, options, engine))
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, TimeoutError):  # it has left, or does not read
            return


async def _read(websocket: WebSocket, frames: Frames, monitoring: Monitoring) -> None:
    """Takes in frames as fast as they come; closes the stream if something else comes, or nothing."""
    try:
        while True:
            async with asyncio.timeout(IDLE_STREAM_SECONDS):
                message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            if data is None:
                await _close(websocket, UNSUPPORTED_DATA, "expected binary messages, each an image file")
                return
            if frames.put(data):
                monitoring.frames.labels("dropped").inc()
    except TimeoutError:
        await _close(websocket, GOING_AWAY, f"no frame came for {IDLE_STREAM_SECONDS:g} seconds")
    finally:
        frames.close()


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # it has left
        await websocket.close(code, reason)


async def _recognize(engine: Engine, data: bytes, name: str) -> Answer | Problem:
    try:
        async with asyncio.timeout(engine.limits.timeout):
            return await engine.recognize(data, name)
    except Problem as problem:
        return problem
    except TimeoutError:
        return Problem("timeout", f"No answer within {engine.limits.timeout:g} seconds.")


def _outcome(found: Answer | Problem) -> str:
    if isinstance(found, Answer):
        return "answered"
    return "late" if found.name == "timeout" else "refused"


def _render(count: dict[str, int], found: Answer | Problem, options: AnswerOptions, engine: Engine) -> str:
    return json.dumps({**count, **values_of(found, options, engine.recognizer.meta)})

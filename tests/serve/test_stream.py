"""Frames in, answers out, the oldest dropped."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from contextlib import closing, suppress
from socket import SHUT_RDWR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from socket import socket as Socket
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFile
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from crossfer.runtime.recognizer import Recognizer
from crossfer.serve import connection, stream
from crossfer.serve.access import PROTOCOL, TOKEN_PROTOCOL
from crossfer.serve.limits import FRAME_BYTES, Limits
from crossfer.serve.schema import RecognizedImage
from crossfer.serve.server import bind
from crossfer.serve.service import Service
from crossfer.serve.stream import BACKLOG, Frames
from serve.conftest import encoded
from serve.test_limits import UPGRADE, Held, raw, wait_for
from serve.test_service import assert_same
from support.live import TOKEN, running


def url(client, parameters: str = "") -> str:
    return f"ws://{client.base_url.netloc.decode()}/v1/stream{parameters}"


@given(st.lists(st.booleans(), max_size=60))
def test_frames_come_out_in_order_and_the_oldest_are_dropped(steps):
    async def run() -> None:
        frames, taken = Frames(), []
        for put in steps:
            waiting = frames.received - frames.dropped - len(taken)
            if put:
                assert frames.put(b"%d" % (frames.received + 1)) == (waiting == BACKLOG)
            elif waiting:
                taken.append(await frames.get())
        frames.close()
        while (entry := await frames.get()) is not None:
            taken.append(entry)
        numbers = [number for number, _ in taken]
        assert numbers == sorted(set(numbers))
        assert all(data == b"%d" % number for number, data in taken)
        assert len(taken) + frames.dropped == frames.received
        assert not frames.received or numbers[-1] == frames.received, "the newest is never dropped"

    asyncio.run(run())


def test_each_frame_is_answered_as_an_image(client, recognizer, photo):
    with connect(url(client, "?coverage=0.9&evidence=true")) as socket:
        for number in (1, 2):
            socket.send(photo)
            answer = json.loads(socket.recv(30))
            assert (answer.pop("frame"), answer.pop("dropped")) == (number, 0)
            RecognizedImage.model_validate({"name": "", **answer})
            assert answer["faces"][0]["prediction_set"]
            for face in answer["faces"]:
                del face["prediction_set"], face["evidence"]
            assert_same(answer["faces"], recognizer.recognize(photo))


def test_a_bad_frame_is_answered_and_the_stream_goes_on(client, photo):
    with connect(url(client)) as socket:
        for frame in (b"junk", b"", photo):
            socket.send(frame)
            answer = json.loads(socket.recv(30))
        assert (answer["frame"], answer["error"]) == (3, None)


def test_so_is_one_that_there_is_no_memory_for(model, photo, monkeypatch):
    def short(_: object) -> None:
        raise MemoryError

    with running(Service(model)) as client, connect(url(client)) as websocket:
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile.ImageFile, "load", short)
            websocket.send(photo)
            assert json.loads(websocket.recv(timeout=30))["error"]["type"].endswith(":busy")
        websocket.send(photo)
        assert json.loads(websocket.recv(timeout=30))["error"] is None


def test_what_cannot_be_kept_up_with_is_dropped_and_the_newest_answered(model, photo):
    held = Held(model)
    with running(Service(model), held) as client, connect(url(client)) as socket:
        held.go.clear()
        for _ in range(20):
            socket.send(photo)
        wait_for(client, 'crossfer_frames_total{outcome="dropped"} 17.0')
        held.go.set()
        answers = [json.loads(socket.recv(30)) for _ in range(3)]
        assert [answer["frame"] for answer in answers] == [1, 19, 20]
        assert answers[-1]["dropped"] == 17


def test_metrics_count_streams_and_their_frames(model, photo):
    held = Held(model)
    with running(Service(model, limits=Limits(timeout=0.5)), held) as client:
        with pytest.raises(InvalidStatus):
            connect(url(client, "?coverage=7"))
        with connect(url(client)) as socket:
            for frame in (photo, b"junk"):
                socket.send(frame)
                socket.recv(30)
            held.go.clear()
            socket.send(photo)
            assert json.loads(socket.recv(30))["error"]["type"] == "urn:crossfer:problem:timeout"
            held.go.set()
        wait_for(client, 'crossfer_requests_total{endpoint="/v1/stream",status="101"} 1.0')
        text = client.get("/metrics").text
    assert 'crossfer_requests_total{endpoint="/v1/stream",status="422"} 1.0' in text
    assert "crossfer_faces_total 1.0" in text
    for outcome in ("answered", "refused", "late"):
        assert f'crossfer_frames_total{{outcome="{outcome}"}} 1.0' in text


def test_text_ends_the_stream_with_a_reason(client):
    with connect(url(client)) as socket:
        socket.send("hello")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
    assert "binary" in closed.value.rcvd.reason


def test_a_frame_too_large_ends_the_stream_with_a_reason(client, photo):
    for _ in range(10):
        with connect(url(client)) as socket:
            with suppress(ConnectionClosed):  # the server may have had enough before the end
                socket.send(bytes(FRAME_BYTES + 1))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with connect(url(client)) as socket:
        socket.send(photo)
        assert socket.recv(30)


def test_who_goes_on_sending_such_a_frame_is_let_go(client, monkeypatch):
    monkeypatch.setattr(connection, "PARTING_SECONDS", 0.2)
    with closing(raw(client)) as opened:
        opened.sendall(UPGRADE + b"\r\n")
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 101")
        opened.sendall(b"\x82\xff" + struct.pack(">Q", FRAME_BYTES + 1) + bytes(4))
        with pytest.raises(ConnectionError):
            send_slowly(opened)


def test_who_does_not_read_the_answers_is_let_go(model, monkeypatch):
    monkeypatch.setattr(connection.StreamConnection, "stalled_seconds", 0.2)
    monkeypatch.setattr("support.live.bind", bind_small)
    data = encoded(np.zeros((48, 48, 3), np.uint8))
    frame = b"\x82\xff" + struct.pack(">Q", len(data)) + bytes(4) + data
    with running(Service(model, detector="none")) as client, closing(raw(client)) as opened:
        opened.setsockopt(SOL_SOCKET, SO_RCVBUF, 1)
        opened.sendall(UPGRADE.replace(b"/stream", b"/stream?evidence=true") + b"\r\n")
        assert opened.recv(1 << 10).startswith(b"HTTP/1.1 101")
        with pytest.raises(ConnectionError):
            send_slowly(opened, frame, 1000)


def bind_small(host: str, port: int) -> Socket:
    """With little room for what is sent and not yet read, beside what asyncio keeps."""
    listening = bind(host, port)
    listening.setsockopt(SOL_SOCKET, SO_SNDBUF, 1)
    return listening


def send_slowly(opened: Socket, data: bytes = bytes(1 << 10), times: int = 100) -> None:
    for _ in range(times):
        opened.sendall(data)
        time.sleep(0.02)


def test_a_silent_stream_is_closed(model, monkeypatch):
    monkeypatch.setattr(stream, "IDLE_STREAM_SECONDS", 0.2)
    with running(Service(model)) as client, connect(url(client)) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


def test_an_error_of_ours_ends_the_stream_and_is_logged(model, photo, caplog):
    class Broken(Recognizer):
        def answer(self, found):
            if found[0].places:
                raise RuntimeError("can't start new thread")
            return super().answer(found)

    with running(Service(model), Broken(model, threads=1)) as client, connect(url(client)) as socket:
        socket.send(photo)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert "can't start new thread" in caplog.text


def test_so_does_one_in_taking_frames_in(model, photo, caplog, monkeypatch):
    def fail(*_):
        raise TypeError("a defect of ours")

    monkeypatch.setattr(Frames, "put", fail)
    with running(Service(model)) as client, connect(url(client)) as socket:
        socket.send(photo)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert "a defect of ours" in caplog.text


def test_a_client_that_has_left_needs_no_reason():
    class Left:
        async def receive(self):
            return {"type": "websocket.receive", "text": "hello"}

        async def close(self, *_):
            raise WebSocketDisconnect(1006)

    gone: Any = Left()
    unused: Any = None
    asyncio.run(stream.stream(gone, unused, unused, unused))


def test_clients_that_leave_in_the_middle_leave_nothing_behind(model, photo):
    held = Held(model)
    with running(Service(model), held) as client:
        for _ in range(10):
            held.go.clear()
            with connect(url(client), close_timeout=0) as socket:
                socket.send(photo)
                socket.send(photo)
                socket.socket.shutdown(SHUT_RDWR)
            held.go.set()
        wait_for(client, "crossfer_streams 0.0")
        with connect(url(client)) as socket:
            socket.send(photo)
            assert json.loads(socket.recv(30))["error"] is None


def test_who_leaves_frees_the_place_although_a_frame_is_worked_on(model, photo):
    held = Held(model)
    with running(Service(model, limits=Limits(streams=1)), held) as client:
        held.go.clear()
        try:
            with connect(url(client)) as socket:
                socket.send(photo)
                assert held.begun.wait(30)
            wait_for(client, "crossfer_streams 0.0")
        finally:
            held.go.set()
        with connect(url(client)) as socket:
            socket.send(photo)
            assert json.loads(socket.recv(30))["error"] is None


@pytest.mark.parametrize(
    ("parameters", "headers", "status"),
    [
        ("?coverage=7", {}, 422),
        ("?covrage=0.9", {}, 422),
        ("?evidence=perhaps", {}, 422),
        ("", {"Origin": "https://evil.example"}, 403),
    ],
)
def test_a_stream_that_may_not_be_is_refused_with_a_problem(client, parameters, headers, status, caplog):
    with pytest.raises(InvalidStatus) as refused:
        connect(url(client, parameters), additional_headers=headers)
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert client.get("/healthz").status_code == 200  # by now the server is done with the stream
    assert caplog.messages == []


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/stream/", "/v1/recognize"])
def test_where_there_is_no_stream_the_answer_is_the_problem(client, path, caplog):
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{client.base_url.netloc.decode()}{path}")
    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(response.body)["type"] == "urn:crossfer:problem:not-found"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/healthz").status_code == 200  # by now the server is done with the stream
    assert caplog.messages == []


def test_the_token_comes_as_a_header_or_as_a_subprotocol(guarded, photo):
    protocols = [Subprotocol(PROTOCOL), Subprotocol(TOKEN_PROTOCOL + TOKEN.encode().hex())]
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"subprotocols": protocols},
    ):
        with connect(url(guarded), **options) as socket:
            socket.send(photo)
            assert json.loads(socket.recv(30))["error"] is None
            assert socket.subprotocol == (PROTOCOL if "subprotocols" in options else None)


@pytest.mark.parametrize("shown", ["", TOKEN_PROTOCOL + "00", TOKEN_PROTOCOL + "zz", TOKEN_PROTOCOL])
def test_without_the_right_token_there_is_no_stream(guarded, shown):
    protocols = [Subprotocol(PROTOCOL), *([Subprotocol(shown)] if shown else [])]
    with pytest.raises(InvalidStatus) as refused:
        connect(url(guarded), subprotocols=protocols)
    assert refused.value.response.status_code == 401

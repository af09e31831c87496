"""What is too large, too slow, too much or too many is refused, and the service goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from crossfer import Box, Recognizer
from crossfer.runtime.detection import Detection
from crossfer.serve import connection, server
from crossfer.serve.limits import Limits
from crossfer.serve.service import Service
from serve.conftest import encoded
from serve.test_service import is_problem, post
from support.live import running


class Held(Recognizer):
    """A recogniser that waits until it is let go."""

    def __init__(self, model: Path) -> None:
        super().__init__(model, "none", threads=1)
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def find(self, image, max_faces=None):
        if not self.go.is_set():
            self.begun.set()
        assert self.go.wait(60)
        return super().find(image, max_faces)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that lose their patience within a second."""
    impatient = connection.impatient
    monkeypatch.setattr(server, "impatient", lambda most: impatient(most, 0.5, 0.5))


def raw(client: httpx.Client) -> socket.socket:
    """A connection without a client library."""
    opened = socket.create_connection((client.base_url.host, client.base_url.port or 80), 30)
    opened.settimeout(30)
    return opened


def everything(opened: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    try:
        while part := opened.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.fixture(scope="module")
def small(model: Path) -> Iterator[httpx.Client]:
    limits = Limits(body=100_000, pixels=40_000, faces=2, images=3)
    with running(Service(model, limits=limits)) as client:
        yield client


def test_a_body_is_refused_by_its_declared_length(small, photo):
    assert is_problem(post(small, photo + bytes(100_000)), "too-large")
    assert post(small, photo).status_code == 200


def test_a_body_without_a_length_is_refused_while_it_comes(small, photo):
    with closing(raw(small)) as opened:
        opened.sendall(
            b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(21):  # and no end
            opened.sendall(b"1388\r\n" + bytes(5000) + b"\r\n")
        assert opened.recv(20).startswith(b"HTTP/1.1 413")
    endless = small.post(
        "/v1/recognize", content=(bytes(10_000) for _ in range(1000)), headers={"Content-Type": "image/png"}
    )
    assert is_problem(endless, "too-large")
    assert post(small, photo).status_code == 200


def test_a_length_that_lies_is_no_way_around(small):
    with closing(raw(small)) as opened:
        opened.sendall(
            b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999999999999999\r\n\r\n" + bytes(1000)
        )
        assert opened.recv(20).startswith(b"HTTP/1.1 413")


def test_pixels_are_counted_before_they_are_decoded(small):
    response = post(small, encoded(np.zeros((201, 200, 3), np.uint8)))
    assert is_problem(response, "unusable-image")
    assert "expected at most 0.04 megapixels, found 200 x 201" in response.json()["detail"]


def test_images_are_counted(small, photo):
    assert is_problem(post(small, *[photo[:2000]] * 4), "too-large")


def test_of_many_faces_the_largest_are_recognised_and_the_others_counted(model, photo):
    class Crowd:
        """A detector that sees a thousand faces."""

        def detect(self, image):
            points = ((5.0, 5.0), (9.0, 5.0), (7.0, 7.0), (5.0, 9.0), (9.0, 9.0))
            return [Detection(Box(2, 2, 8 + n / 100, 10), 0.9, points) for n in range(1000)]

    with running(Service(model, limits=Limits(faces=50)), Recognizer(model, Crowd(), threads=1)) as client:
        (image,) = post(client, photo, evidence=True).json()["images"]
        assert client.get("/v1/models").json()["defaults"]["detector"] == "Crowd"
    assert (len(image["faces"]), image["faces_left_out"]) == (50, 950)
    widths = [face["box"]["width"] for face in image["faces"]]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(17.99)


def test_a_picture_of_a_crowd_is_answered(client, astronaut):
    tile = Image.fromarray(astronaut[30:190, 140:300]).resize((40, 40))
    crowd = np.tile(np.asarray(tile), (12, 16, 1))
    (image,) = post(client, encoded(crowd)).json()["images"]
    assert len(image["faces"]) + image["faces_left_out"] > 100
    assert len(image["faces"]) == 100


def test_a_full_queue_is_answered_at_once_and_the_others_are_finished(model, photo):
    held = Held(model)
    with running(Service(model, limits=Limits(queue=3)), held) as client, ThreadPoolExecutor(3) as pool:
        held.go.clear()
        waiting = [pool.submit(post, client, photo) for _ in range(3)]
        wait_for(client, "crossfer_requests_in_flight 3.0")
        refused = post(client, photo)
        assert is_problem(refused, "busy")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200, "the event loop is blocked"
        assert is_problem(client.get("/readyz"), "busy"), "a load balancer would send more"
        held.go.set()
        assert [future.result().status_code for future in waiting] == [200, 200, 200]
        assert client.get("/readyz").status_code == 200
        assert post(client, photo).status_code == 200


def wait_for(client: httpx.Client, line: str) -> None:
    deadline = time.monotonic() + 30
    while line not in client.get("/metrics").text:
        assert time.monotonic() < deadline, line
        time.sleep(0.01)


def test_an_answer_that_takes_too_long_is_a_problem_and_frees_its_place(model, photo):
    held = Held(model)
    with running(Service(model, limits=Limits(timeout=0.3)), held) as client:
        held.go.clear()
        response = post(client, photo)
        assert is_problem(response, "timeout")
        assert "retry-after" in response.headers
        assert 'crossfer_images_total{outcome="late"} 1.0' in client.get("/metrics").text
        held.go.set()
        wait_for(client, "crossfer_requests_in_flight 0.0")
        assert post(client, photo).status_code == 200


def test_what_nobody_waits_for_is_not_worked_on(model, photo):
    held, looked_at = Held(model), list[int]()
    find = held.find
    held.find = lambda image, most=None: (looked_at.append(1), find(image, most))[1]  # type: ignore[method-assign]
    with running(Service(model, workers=1), held) as client:
        before = len(looked_at)  # of the warm-up
        held.go.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, client, photo)
            while len(looked_at) == before:
                time.sleep(0.01)
            lines = ("POST /v1/recognize HTTP/1.1", "Host: localhost", "Content-Type: image/png")
            head = "\r\n".join((*lines, f"Content-Length: {len(photo)}", "", "")).encode()
            leaving = [raw(client) for _ in range(5)]
            for opened in leaving:
                opened.sendall(head + photo)
            wait_for(client, "crossfer_requests_in_flight 6.0")
            for opened in leaving:
                opened.close()
            wait_for(client, "crossfer_requests_in_flight 1.0")
            held.go.set()
            assert first.result().status_code == 200
        assert post(client, photo).status_code == 200
        assert len(looked_at) - before == 2
        wait_for(client, 'crossfer_requests_total{endpoint="/v1/recognize",status="499"} 5.0')


def test_large_images_are_worked_on_one_at_a_time_and_small_ones_beside_them(model):
    held, inside, most = Held(model), list[int](), list[list[int]]()
    find = held.find

    def watched(image, faces=None):
        inside.append(image.shape[0])
        most.append(sorted(inside))
        time.sleep(0.2)
        inside.remove(image.shape[0])
        return find(image, faces)

    held.find = watched  # type: ignore[method-assign]
    large, small = (encoded(np.zeros((side, side, 3), np.uint8)) for side in (200, 100))
    with running(Service(model, workers=4, limits=Limits(pixels=40_000)), held) as client:
        most.clear()
        sent = [large, large, small, small, large, large]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda data: post(client, data), sent))
    assert {answer.status_code for answer in answers} == {200}
    assert max(sides.count(200) for sides in most) == 1
    assert max(map(len, most)) > 1, "nothing goes beside a large one"


def test_it_is_not_ready_while_every_thread_is_stuck(model, photo):
    held = Held(model)
    with running(Service(model, workers=1, limits=Limits(timeout=0.3)), held) as client:
        held.go.clear()
        assert is_problem(post(client, photo), "timeout")
        wait_for(client, "crossfer_requests_in_flight 0.0")
        response = client.get("/readyz")
        assert is_problem(response, "not-ready")
        assert "within 0.3 seconds" in response.json()["detail"]
        assert "retry-after" in response.headers
        assert client.get("/healthz").status_code == 200
        held.go.set()
        assert post(client, photo).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_body_that_trickles_is_given_up(model, photo):
    """Not with 408, after which browsers send the whole body again."""
    with running(Service(model, detector="none", limits=Limits(timeout=0.5))) as client:
        with closing(raw(client)) as opened:
            opened.sendall(
                b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Content-Length: 1000\r\n\r\n"
            )
            threading.Thread(target=trickle, args=(opened, b"x")).start()
            answer = everything(opened)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"urn:crossfer:problem:slow-request" in answer
        assert post(client, photo).status_code == 200


def test_what_comes_and_is_answered_in_time_is_finished_when_the_service_stops(model, photo):
    """The body and the answer may each take as long as the limit says."""
    held = Held(model)
    lines = ("POST /v1/recognize HTTP/1.1", "Host: localhost", "Content-Type: image/png", "Connection: close")
    head = "\r\n".join((*lines, f"Content-Length: {len(photo)}", "", "")).encode()

    def send_late(opened: socket.socket) -> bytes:
        time.sleep(2.8)
        held.go.clear()
        opened.sendall(photo[100:])
        time.sleep(2.8)
        held.go.set()
        return everything(opened)

    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        with running(Service(model, limits=Limits(timeout=4)), held) as client:
            opened = stack.enter_context(closing(raw(client)))
            opened.sendall(head + photo[:100])
            wait_for(client, "crossfer_requests_in_flight 1.0")
            answer = pool.submit(send_late, opened)
        assert answer.result().startswith(b"HTTP/1.1 200")


def trickle(opened: socket.socket, piece: bytes) -> None:
    """Sends a byte now and then until the other side has had enough."""
    try:
        for _ in range(200):
            opened.sendall(piece)
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.usefixtures("patience")
def test_slow_headers_are_given_up_and_do_not_hold_up_others(model, photo):
    with running(Service(model, detector="none")) as client, ExitStack() as stack:
        slow = [stack.enter_context(closing(raw(client))) for _ in range(20)]
        for opened in slow[:10]:
            opened.sendall(b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        threads = [threading.Thread(target=trickle, args=(opened, b"x")) for opened in slow[:5]]
        for thread in threads:
            thread.start()
        assert post(client, photo).status_code == 200
        assert all(everything(opened).startswith(b"HTTP/1.1 408") for opened in slow)
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("patience")
def test_the_rest_of_a_refused_body_is_not_waited_for_forever(model):
    with running(Service(model, detector="none")) as client, closing(raw(client)) as opened:
        opened.sendall(
            b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 1000000\r\n\r\nx"
        )
        threading.Thread(target=trickle, args=(opened, b"x")).start()
        assert everything(opened).startswith(b"HTTP/1.1 415")


@pytest.mark.usefixtures("patience")
def test_a_client_that_does_not_read_is_given_up(model, photo):
    """Its answers are large, so that they fill the buffers between the two."""
    many = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100_000
    with running(Service(model, detector="none")) as client:
        with closing(raw(client)) as opened, pytest.raises(ConnectionError):
            opened.sendall(many)
        assert post(client, photo).status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_requests_that_are_none_are_problems(client, request_):
    with closing(raw(client)) as opened:
        opened.sendall(request_)
        answer = everything(opened)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 415", b"HTTP/1.1 431"))
    assert b"application/problem+json" in answer
    assert b"Traceback" not in answer
    assert client.get("/healthz").status_code == 200


UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "more", [b"Cookie: " + b"a" * 9_000 + b"\r\n", b"".join(b"X-%d: b\r\n" % n for n in range(200))]
)
def test_headers_that_a_stream_cannot_take_are_a_problem(client, more):
    with closing(raw(client)) as opened:
        opened.sendall(UPGRADE + more + b"\r\n")
        answer = everything(opened)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer


@pytest.mark.usefixtures("patience")
def test_a_connection_that_asks_for_a_stream_and_becomes_none_is_let_go(model):
    with running(Service(model, detector="none")) as client, closing(raw(client)) as opened:
        opened.sendall(UPGRADE + b"Content-Length: 5\r\n\r\nhello")
        began = time.monotonic()
        everything(opened)
        assert time.monotonic() - began < 20


@pytest.mark.usefixtures("patience")
def test_a_stream_that_is_one_outlives_the_time_for_headers(model, photo):
    with (
        running(Service(model, detector="none")) as client,
        connect(f"ws://{client.base_url.netloc.decode()}/v1/stream") as opened,
    ):
        time.sleep(1.5)
        opened.send(photo)
        assert '"faces"' in str(opened.recv(30))


def test_connections_are_counted(model):
    with (
        running(Service(model, detector="none", limits=Limits(connections=5))) as client,
        ExitStack() as stack,
    ):
        opened = [stack.enter_context(closing(raw(client))) for _ in range(8)]
        answers = [everything(one) for one in opened[5:]]
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in answers)
        assert all(b"Retry-After: 1" in answer for answer in answers)


def test_streams_are_counted(model):
    with running(Service(model, detector="none", limits=Limits(streams=2))) as client, ExitStack() as stack:
        url = f"ws://{client.base_url.netloc.decode()}/v1/stream"
        for _ in range(2):
            stack.enter_context(connect(url))
        for _ in range(30):
            with pytest.raises(Exception, match="503"):
                connect(url)
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", list(vars(Limits())))
def test_limits_are_above_zero(name):
    with pytest.raises(ValueError, match=f"limit {name}: expected a number above 0, got 0"):
        Limits(**{name: 0})

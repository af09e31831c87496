"""An RTSP server (RFC 2326) for one client, just large enough to play H.264 over its own connection."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
import numpy as np

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=test
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:video
"""
CLOCK = 90_000


@contextmanager
def rtsp_server(frames: Sequence[np.ndarray], rate: int = 25, *, silent: bool = False) -> Iterator[str]:
    """The address at which a client may play the frames once, at their own pace; then the server hangs up.

    A ``silent`` one only does so when the context ends.
    """
    over = threading.Event()
    if not silent:
        over.set()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, frames, rate, over))
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{listening.getsockname()[1]}/live"
        finally:
            over.set()
            thread.join()


def _serve(listening: socket.socket, frames: Sequence[np.ndarray], rate: int, over: threading.Event) -> None:
    listening.settimeout(20)
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as requests, suppress(OSError):
        while line := requests.readline().decode():
            method = line.split()[0]
            headers = dict(_headers(requests))
            connection.sendall(_reply(method, headers))
            if method == "PLAY":
                _play(connection, frames, rate)
                over.wait(20)
                return


def _headers(requests) -> Iterator[tuple[str, str]]:
    while line := requests.readline().decode().strip():
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def _reply(method: str, headers: dict[str, str]) -> bytes:
    lines = ["RTSP/1.0 200 OK", f"CSeq: {headers['cseq']}", "Session: 1"]
    body = SDP.replace("\n", "\r\n") if method == "DESCRIBE" else ""
    if method == "OPTIONS":
        lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
    if method == "SETUP":
        lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
    if body:
        lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def _play(connection: socket.socket, frames: Sequence[np.ndarray], rate: int) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, rate), rate
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    number = 0
    for index, pixels in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        picture.pts, picture.time_base = index, Fraction(1, rate)
        for packet in encoder.encode(picture):
            units = [unit for unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
            for unit in units:
                last = unit is units[-1]
                header = struct.pack(">BBHII", 0x80, 96 | last << 7, number, index * CLOCK // rate, 0x5EED)
                connection.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(unit)) + header + unit)
                number += 1
        time.sleep(1 / rate)

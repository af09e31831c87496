"""Real servers on loopback: in a thread of this process, or as ``crossfer serve`` in one of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from crossfer.runtime.recognizer import Recognizer
from crossfer.serve.app import create_app
from crossfer.serve.server import address, bind, configure
from crossfer.serve.service import Service

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of test servers
SECONDS = 60.0


@contextmanager
def running(service: Service, recognizer: Recognizer | None = None) -> Iterator[httpx.Client]:
    """A server in a thread, and a client whose base address is the server's."""
    with bind("127.0.0.1", 0) as listening:
        server = uvicorn.Server(configure(create_app(service, recognizer), service))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=address(listening), timeout=SECONDS, trust_env=False) as client:
                assert client.get("/readyz").status_code == 200
                yield client
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


@dataclass
class Process:
    """``crossfer serve`` running; its standard error goes to a file."""

    popen: subprocess.Popen[bytes]
    url: str
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end."""
        self.popen.send_signal(number)
        return self.popen.wait(SECONDS)


@contextmanager
def process(log: Path, *arguments: object, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """``crossfer serve --port 0`` with these arguments, ready to answer."""
    command = [sys.executable, "-m", "crossfer", "serve", "--port", "0", *map(str, arguments)]
    with log.open("wb") as stderr:
        popen = subprocess.Popen(command, stderr=stderr, env={**os.environ, **(environment or {})})
    try:
        yield Process(popen, _address_in(log, popen), log)
    finally:
        popen.kill()
        popen.wait()


def _address_in(log: Path, popen: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and popen.poll() is None:
        if found := re.search(r"serving at (\S+?/),", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"no server: {log.read_text()}")

"""From settings to a running server."""

from __future__ import annotations

import logging
import math
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from crossfer.serve.app import create_app
from crossfer.serve.connection import StreamConnection, impatient
from crossfer.serve.limits import FRAME_BYTES, HEADER_BYTES, KEEP_ALIVE_SECONDS
from crossfer.serve.service import Service

BACKLOG = 128


@dataclass(frozen=True)
class Certificate:
    """PEM files for HTTPS.

    Raises:
        ValueError: if they are no certificate and its key, or the key is encrypted.
        OSError: if they cannot be read.
    """

    chain: Path
    key: Path

    def __post_init__(self) -> None:
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.chain, self.key, password=self._no_pass_phrase)
        except ssl.SSLError as error:
            raise ValueError(
                f"{self.chain}, {self.key}: expected a certificate chain and its private key as PEM, "
                f"found other files ({error.reason or 'no PEM'}); check which is which"
            ) from error

    def _no_pass_phrase(self) -> str:
        """Is asked for one; without it OpenSSL would ask on the terminal."""
        raise ValueError(
            f"{self.key}: expected a private key without a pass phrase, found an encrypted one; "
            f"decrypt it: openssl pkey -in {self.key} -out plain-key.pem"
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that clients wait while the model loads.

    Raises:
        OSError: if it cannot; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (TCP_NODELAY) only where a socket names its protocol; else the second part
    # of each answer waits 40 ms for the client to confirm the first.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _exclusive(), 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); "
            "choose another with --host or --port"
        ) from error
    return listening


def _exclusive() -> int:
    """The socket option by which one process at a time has a port."""
    if sys.platform == "win32":  # there SO_REUSEADDR lets several listen on one port
        return socket.SO_EXCLUSIVEADDRUSE
    return socket.SO_REUSEADDR  # or the port stays taken for a while after a service has ended


def address(listening: socket.socket, certificate: Certificate | None = None) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"{'https' if certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(
    service: Service, port: int, certificate: Certificate | None, started: Callable[[str], None]
) -> None:
    """Serves until a signal (SIGINT, SIGTERM) ends it; what was taken on is finished first.

    Args:
        service: what is served and how; its access names the host to listen on.
        port: 0 for any that is free.
        certificate: for HTTPS; None for HTTP.
        started: is given the address once it answers, and stops cleanly.

    Raises:
        BundleError: if the model cannot be used as the service says.
        OSError: if it cannot listen there.
    """
    with bind(service.access.host, port) as listening:
        server = _Server(configure(create_app(service), service, certificate))
        server.tell = lambda: started(address(listening, certificate))
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells when it has started."""

    tell: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.tell()


def configure(app: object, service: Service, certificate: Certificate | None = None) -> uvicorn.Config:
    """The web server's configuration: the limits that it can keep, and nothing logged but errors."""
    for library in ("uvicorn", "python_multipart"):
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="asyncio",
        http=impatient(service.limits.connections),  # type: ignore[arg-type]
        ws=StreamConnection,
        ws_max_size=FRAME_BYTES,
        ws_per_message_deflate=False,  # a small message could grow a thousandfold
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(2 * service.limits.timeout) + 1,  # to send, and to be answered
        h11_max_incomplete_event_size=HEADER_BYTES,
        ssl_certfile=None if certificate is None else certificate.chain,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
    config.load()
    return config


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Leaves out what the web server says of each stream that was refused with a problem: no error."""
    return record.msg != "ASGI callable returned without completing handshake."

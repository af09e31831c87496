"""Who may use the service: tokens, hosts and origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from crossfer.serve.problems import Problem

TOKEN_VARIABLE = "CROSSFER_TOKEN"  # noqa: S105 - the variable's name
MIN_TOKEN, MAX_TOKEN = 16, 1024
# A browser can give a WebSocket no header, but subprotocols: "crossfer.v1" and this with the token's bytes in
# hexadecimal behind it.
PROTOCOL, TOKEN_PROTOCOL = "crossfer.v1", "crossfer.token."
GUARDED_PREFIXES = ("/v1/", "/metrics")  # the rest is the page's own files, probes and the description
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_USUAL_PORTS = {"http": 80, "https": 443}  # browsers leave them out
_MAX_PORT = 65535
_MAKE_ONE = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token from a file, or else from the environment; None if there is neither.

    Raises:
        ValueError: if it is empty, short, or not printable ASCII without spaces; the token is not repeated.
        OSError: if the file cannot be read.
    """
    if file is not None:
        if file.stat().st_size > MAX_TOKEN:
            raise ValueError(f"{file}: expected a token of at most {MAX_TOKEN} bytes, found a larger file")
        token, place = file.read_text("utf-8", "replace").strip(), str(file)
    elif TOKEN_VARIABLE in environment:
        token, place = environment[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE
    else:
        return None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"{place}: expected a token of at least {MIN_TOKEN} ASCII characters without spaces, "
            f"found {len(token)} characters; {_MAKE_ONE}"
        )
    return token


def read_origin(text: str) -> str:
    """A site as browsers name it in ``Origin``: in lower case, without a slash at the end or a usual port.

    >>> read_origin("https://Example.org:443/")
    'https://example.org'

    Raises:
        ValueError: if it is no site's address, such as ``*`` or an address with a path.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or int(found[3] or 0) > _MAX_PORT:
        raise ValueError(
            f"--allow-origin {text!r}: expected scheme, host (in ASCII) and port of one site, no path and no "
            "wildcard, as in https://example.org:8443; give the option once for each site"
        )
    scheme, host, port = found.groups("")
    usual = not port or int(port) == _USUAL_PORTS.get(scheme)
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{int(port)}"


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server bound to ``host``.

    Raises:
        ValueError: if the host's name cannot be resolved.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:  # the latter: no name at all, since a part of it is too long
        reason = error.strerror if isinstance(error, OSError) else "no host has such a name"
        raise ValueError(f"host {host!r}: cannot be resolved ({reason}); check its name") from error
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def check_host(host: str, token: str | None) -> None:
    """Refuses to be reachable from elsewhere without a token.

    Raises:
        ValueError: if it would be, or if the host's name cannot be resolved.
    """
    if not is_loopback(host) and token is None:
        raise ValueError(
            f"refusing to listen on {host}, which other machines can reach, without a token; "
            f"set {TOKEN_VARIABLE} or name a file with --token-file ({_MAKE_ONE})"
        )


@dataclass(frozen=True)
class Access:
    """Decides on each request before anything of it is read.

    Attributes:
        token: what clients must show; None if none is asked for.
        host: what the server is bound to.
        origins: sites whose pages may use the service besides its own, as ``read_origin`` gives them.
    """

    token: str | None = None
    host: str = "127.0.0.1"
    origins: tuple[str, ...] = ()

    def check(self, path: str, headers: Headers) -> None:
        """Lets a request pass, or raises the problem to answer with.

        Raises:
            Problem: for a wrong host, a foreign origin, or a missing or wrong token.
        """
        self._check_host(headers.get("host", ""))
        if path.startswith(GUARDED_PREFIXES):
            self._check_origin(headers)
            self._check_token(headers)

    def _check_host(self, host: str) -> None:
        """Without a token, a page elsewhere whose name was pointed at this machine must not get in."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.token is None and name.lower() not in {"localhost", "127.0.0.1", "[::1]", self.host.lower()}:
            raise Problem(
                "wrong-host",
                "Without a token only this machine is answered, as localhost or 127.0.0.1; "
                "start the service with a token to use it under another name.",
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self.origins or _place(origin) == headers.get("host"):
            return
        raise Problem(
            "foreign-origin",
            "This page's site is not allowed; start the service with --allow-origin, or, if the page is the "
            "service's own, let the proxy before it pass on the header Host.",
        )

    def _check_token(self, headers: Headers) -> None:
        shown = _shown_token(headers)
        if self.token is None or hmac.compare_digest(_digest(shown), _digest(self.token)):
            return
        raise Problem(
            "unauthorized",
            "Expected the header 'Authorization: Bearer TOKEN' with the token that the service was started "
            f"with, found {'another one' if shown else 'none'}.",
            {"WWW-Authenticate": "Bearer"},
        )


def _place(origin: str) -> str | None:
    """Host and port of an origin; None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _shown_token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(TOKEN_PROTOCOL):
            try:
                return bytes.fromhex(protocol.strip().removeprefix(TOKEN_PROTOCOL)).decode()
            except ValueError:
                return ""
    return ""


def _digest(token: str) -> bytes:
    """Of equal length whatever the token, so that comparing tells nothing about it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

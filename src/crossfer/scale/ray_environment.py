"""What is settled before Ray is imported: that it keeps to itself, and that there is a cluster to join."""

from __future__ import annotations

import os
import secrets
import socket

from crossfer.scale.faults import ScoreError

LISTENS_WITHIN = 10.0  # seconds


def prepare_ray(address: str | None) -> None:
    """Keeps Ray from reporting to anybody, and a cluster that is started here from obeying anybody else.

    Args:
        address: of a cluster to join, which has rules of its own; None if one is started here.

    Raises:
        ScoreError: if nobody listens at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Of what Ray's processes log only what ends them is shown: the rest is about its inside.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None:
        # Ray listens on every interface of a machine; without the token nobody is heard.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    else:
        _refuse_silence(address)


def _refuse_silence(address: str) -> None:
    """Ray itself would wait for a quarter of an hour where nobody listens.

    Raises:
        ScoreError: if nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():  # "auto", or a name that Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LISTENS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise ScoreError(
            f"{address}: expected a Ray cluster there, found nobody listening ({error}); "
            "start one with: ray start --head"
        ) from error

"""What must be in the environment before Ray is imported, for it to keep to itself."""

from __future__ import annotations

import os
import secrets


def prepare_ray(address: str | None) -> None:
    """Keeps Ray from reporting to anybody, and a cluster that is started here from obeying anybody else.

    Args:
        address: of a cluster to join, which has rules of its own; None if one is started here.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Of what Ray's processes log only what ends them is shown: the rest is about its inside.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None:
        # Ray listens on every interface of a machine; without the token nobody is heard.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

"""Where the command line starts, as ``crossfer`` or ``python -m crossfer``."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line; until its modules are loaded nothing has begun, and Ctrl-C just ends it."""
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, _stop)
    from crossfer.cli import main as run  # noqa: PLC0415 - only now is an interrupt quiet

    run()


def _stop(number: int, frame: FrameType | None) -> None:
    """Interrupt as Python does, but end at once within an import, which would call it a fault of its own."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

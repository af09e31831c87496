"""Where the command line starts, as ``crossfer`` or ``python -m crossfer``."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, also within an import, which may take it for a fault."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, interrupt)
    try:
        from crossfer.cli import main as run  # noqa: PLC0415 - only now is an interrupt quiet

        run()
    except (KeyboardInterrupt, ImportError):
        if not interrupted:
            raise
        sys.exit(130)


if __name__ == "__main__":
    main()

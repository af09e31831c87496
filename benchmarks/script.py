"""What the scripts here share: a bad command line or input ends in one line, as it does with crossfer."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crossfer.cli.errors import show_traceback
from crossfer.printable import one_line


def run_script(main: Callable[[], None]) -> None:
    """Run a script; what it cannot use becomes one line on stderr and exit status 1, Ctrl-C a quiet 130.

    ``CROSSFER_TRACEBACK=1`` in the environment shows where an error comes from.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ImportError, ValueError, OSError, MemoryError) as error:
        show_traceback(error)
        sys.exit(f"{Path(sys.argv[0]).name}: {one_line(error)}")


def positive_int(text: str) -> int:
    """A whole number of at least 1, for ``argparse``."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")


def positive_float(text: str) -> float:
    """A finite number above 0, for ``argparse``."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")

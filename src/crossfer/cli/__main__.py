"""``python -m crossfer.cli``."""

from crossfer.cli import main

main()

"""``python -m crossfer``: the command line without its script."""

from crossfer.cli import main

main()

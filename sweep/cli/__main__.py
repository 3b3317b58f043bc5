"""``python -m sweep.cli`` is the console script `sweep`."""

from sweep.cli import main

main()

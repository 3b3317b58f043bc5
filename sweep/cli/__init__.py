"""The command line: verbs only.

`main` is the console script `sweep`; the verbs stand in :mod:`sweep.cli.app` in the order of the help.
"""

from sweep.cli.app import main

__all__ = ["main"]

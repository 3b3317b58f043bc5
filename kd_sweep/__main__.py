"""``python -m kd_sweep`` is the console script `sweep`, also in a folder that holds a ``sweep.py``."""

from kd_sweep import main

main()

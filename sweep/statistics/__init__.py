"""What two rows differ by, and how much of it chance explains: the one test of tables, reports and races.

Others use :mod:`~sweep.statistics.paired` (differences, levels, corrections) and :mod:`~sweep.statistics.noise` (the
test of rows that share their noise). Nothing here knows of sweeps.
"""

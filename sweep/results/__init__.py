"""What came of a sweep: rows, tests, the table, the literature beside it.

Others use :func:`~sweep.results.read.read` (the trials and searches of a ledger),
:func:`~sweep.results.board.leaderboard`,
:mod:`~sweep.results.draw` and :mod:`~sweep.results.records` (the table in every format) and
:func:`~sweep.results.standing.standing` (how far a plan is).
"""

"""Runs a plan on Ray: what next, on which worker, and what came of it.

Others use :func:`~sweep.engine.tuning.tune` (a queue, to its end), :class:`~sweep.engine.queue.TrialQueue`,
:func:`~sweep.engine.session.session` (Ray itself) and :class:`~sweep.engine.display.Display` (what the user sees).
"""
